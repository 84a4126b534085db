// The end of a page: what leaves by what, and what stays for the next visit.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, idle } from "./harness.mjs";
import { U, append, error, later, numbers, post, recorded, records, replace, times, visit } from "./helpers.mjs";

const S = { credentials: "same-origin" };

test("C1: all of twenty beacons of any kind arrive at the end, with and without the store", async () => {
  for (const open of [(w) => w.open(), visit]) {
    for (const make of [(b, i) => new b.PendingGetBeacon(`/${i}`), (b, i) => post(b, `/${i}`), (b, i) => post(b, `/${i}`, S), (b, i) => append(b, i, { key: `/${i}` })]) {
      const w = new World();
      w.respond = () => ({ status: 204, delay: 1_000 });
      const tab = await open(w);
      for (let i = 0; i < 20; i++) make(tab.beacon, i);
      await tab.leave();
      for (let i = 0; i < 20; i++) {
        const n = times(w, `/${i}`) || numbers(w, `/${i}`).length;
        assert.equal(n, 1, `${make} ${i}`);
      }
    }
  }
});

test("C1: what is beyond 60,000 bytes goes by sendBeacon, and never twice", async () => {
  const w = new World();
  w.respond = () => ({ status: 204, delay: 1_000 });
  const errors = [];
  const tab = await visit(w);
  const bodies = ["a", "b", "c", "d"].map((c) => c.repeat(25_000));
  for (const body of bodies) post(tab.beacon, body, error(errors));
  await tab.leave();
  assert.deepEqual(bodies.map((body) => times(w, body)), [1, 1, 1, 1]);
  const held = w.requests.filter((r) => r.kind === "fetch" && r.init.keepalive).reduce((n, r) => n + r.body.length, 0);
  assert.ok(held <= 60_000, `${held} bytes by fetch`);
  await later(w);
  assert.deepEqual([bodies.map((body) => times(w, body)), errors], [[1, 1, 1, 1], []]);
});

test("what nothing takes at the end is left to the next visit", async () => {
  const w = new World();
  w.respond = () => ({ status: 204, delay: 1_000 });
  const tab = await visit(w, { shared: true }); // sendBeacon has no room of its own
  const bodies = ["a", "b", "c", "d"].map((c) => c.repeat(25_000));
  for (const body of bodies) post(tab.beacon, body);
  await w.tick(1_000);
  await tab.leave();
  await later(w);
  await later(w);
  assert.deepEqual(bodies.map((body) => times(w, body)), [1, 1, 1, 1]);
});

test("W2: the browser quits and loses what it took: what has ids comes with the next visit", async () => {
  for (const lost of [["beacon"], ["fetch"], ["beacon", "fetch"], ["beacon", "fetch", "later"]]) {
    for (const engine of [{}, { fetchLater: true }]) {
      const w = new World();
      const tab = await visit(w, engine);
      append(tab.beacon, 1);
      replace(tab.beacon, 1);
      post(tab.beacon, "id", { idParam: "id" });
      post(tab.beacon, "raw");
      await w.tick(1_000);
      await tab.quit(...lost);
      const next = await visit(w, engine);
      await w.tick(10_000);
      const why = JSON.stringify({ lost, engine });
      assert.deepEqual([numbers(w, "a"), numbers(w, "r")], [[1], [1]], why);
      assert.ok(times(w, "id"), why);
      await next.leave({ persisted: true });
      const n = w.items.filter((i) => i.envelope.k === "a").length;
      await later(w, engine);
      assert.equal(w.items.filter((i) => i.envelope.k === "a").length, n, `${why}: what was answered is not kept`);
      assert.ok(times(w, "raw") <= 1, why);
    }
  }
});

test("W2: at the end records without ids are gone, those with ids are there", async () => {
  for (const engine of [{}, { fetchLater: true }]) {
    const w = new World();
    const tab = await visit(w, engine);
    append(tab.beacon, "app-1");
    post(tab.beacon, "raw-1");
    new tab.beacon.PendingGetBeacon("/raw-2");
    await w.tick(1_000);
    await tab.leave();
    assert.deepEqual([recorded(w, "raw-1").length, recorded(w, "raw-2").length], [0, 0]);
    if (!engine.fetchLater) assert.equal(recorded(w, "app-1").length, 1);
  }
});

test("W2: after a navigation nothing is kept", async () => {
  for (const engine of [{}, { fetchLater: true }]) {
    const w = new World();
    const tab = await visit(w, engine);
    append(tab.beacon, 1);
    post(tab.beacon, "id", { idParam: "id" });
    post(tab.beacon, "raw");
    await w.tick(1_000);
    await tab.leave({ persisted: true });
    assert.deepEqual(records(w), []);
    await tab.restore();
    await w.tick(60_000);
    assert.deepEqual([times(w, "raw"), numbers(w, "a")], [1, [1]]);
  }
});

test("C7: requests of a page that is torn down are rejected and arrive: no twins without ids", async () => {
  for (const sendNow of [false, true]) {
    const w = new World();
    const tab = await visit(w);
    await w.tick(1_000);
    const list = [
      new tab.beacon.PendingGetBeacon("/g"), post(tab.beacon, "s", S), post(tab.beacon, "x"), append(tab.beacon, 1),
    ];
    await idle();
    w.respond = () => ({ status: 204, delay: 5_000 });
    if (sendNow) list.map((b) => b.sendNow());
    await tab.leave({ torn: true });
    await later(w);
    await later(w);
    assert.deepEqual([times(w, "/g"), times(w, "s"), times(w, "x"), numbers(w, "a")], [1, 1, 1, [1]], `sendNow: ${sendNow}`);
  }
});

test("C7: refused by sendBeacon and torn down: no twins either", async () => {
  const w = new World();
  w.respond = (r) => ({ refused: r.kind === "beacon" });
  const tab = await visit(w);
  post(tab.beacon, "x");
  await w.tick(1_000);
  await tab.leave({ torn: true });
  await later(w);
  assert.equal(times(w, "x"), 1);
});

test("W3: a popup that closes itself, and what it does to the store then is forgotten", async () => {
  for (const age of [0, 1_000]) {
    const w = new World();
    const tab = await visit(w, { globals: { opener: {} } });
    new tab.beacon.PendingGetBeacon("/g");
    post(tab.beacon, "s", S);
    post(tab.beacon, "x");
    append(tab.beacon, 1);
    await w.tick(age);
    await tab.leave({ deaf: true, torn: true });
    await later(w);
    await w.tick(100_000);
    await later(w);
    assert.deepEqual([times(w, "/g"), times(w, "s"), times(w, "x"), numbers(w, "a")], [1, 1, 1, [1]], `after ${age} ms`);
  }
});

test("B6: offline, then frozen or in the cache, then online: nothing is lost", async () => {
  for (const open of [(w) => w.open(), visit]) {
    for (const data of ["x", new Blob(["x"]), new FormData()]) {
      for (const how of ["freeze", "cache"]) {
        const w = new World();
        const errors = [];
        const tab = await open(w);
        await tab.online(false);
        post(tab.beacon, data, error(errors)).sendNow();
        await w.tick(1_000);
        if (how === "freeze") {
          await tab.hide();
          tab.doc.emit("freeze");
          await w.tick(1_000);
          await tab.show();
        } else {
          await tab.leave({ persisted: true });
          await w.tick(1_000);
          await tab.restore();
        }
        await tab.online(true);
        await w.tick(10_000);
        assert.deepEqual(errors, []);
        assert.equal(w.arrived.filter((r) => !r.envelope).length, 1, `${how}, ${data.constructor.name}`);
      }
    }
  }
});

test("B20: offline by mistake: at the end what has ids is sent and kept, the rest is kept", async () => {
  const w = new World();
  const tab = await visit(w, { onLine: false, lies: true });
  append(tab.beacon, 1);
  post(tab.beacon, "id", { idParam: "id" });
  post(tab.beacon, "raw");
  await w.tick(1_000);
  await tab.leave();
  assert.deepEqual([numbers(w, "a"), times(w, "raw")], [[1], 0]);
  assert.ok(times(w, "id"));
  await later(w);
  await later(w);
  assert.deepEqual([numbers(w, "a"), times(w, "raw")], [[1], 1]);
});

test("B20: offline into the back/forward cache: what has ids is not taken for sent", async () => {
  for (const engine of [{}, { keepalive: false }]) {
    for (const back of [false, true]) {
      const w = new World();
      const tab = await visit(w, { ...engine, onLine: false });
      append(tab.beacon, 1);
      await w.tick(1_000);
      await tab.leave({ persisted: true });
      if (back) {
        await tab.restore();
        await tab.online(true);
        await w.tick(10_000);
      } else await later(w, engine);
      assert.deepEqual(numbers(w, "a"), [1], JSON.stringify({ engine, back }));
    }
  }
});

test("B20: offline indeed: all comes with the next visit, once", async () => {
  const w = new World();
  const tab = await visit(w, { onLine: false });
  append(tab.beacon, 1);
  post(tab.beacon, "raw");
  const sent = post(tab.beacon, "sent");
  await w.tick(1_000);
  sent.sendNow();
  await tab.leave();
  await later(w);
  await later(w);
  assert.deepEqual([numbers(w, "a"), times(w, "raw"), times(w, "sent")], [[1], 1, 1]);
});

test("C2: an address is resolved when it is given", async () => {
  const w = new World();
  const tab = await w.open();
  const { beacon } = tab;
  const make = {
    get: (url) => new beacon.PendingGetBeacon(url),
    post: (url) => {
      const b = new beacon.PendingPostBeacon(url);
      b.setData("x");
      return b;
    },
    append: (url) => {
      const b = new beacon.AppendableBeacon(url);
      b.appendData(1);
      return b;
    },
  };
  for (const name of Object.keys(make)) {
    tab.doc.baseURI = "https://example.com/dir/page";
    const b = make[name]("log");
    const g = new beacon.PendingGetBeacon("x");
    g.setURL("set");
    tab.doc.baseURI = "https://example.com/some/where/else";
    assert.deepEqual([b.url, g.url], ["log", "set"]);
    b.sendNow();
    g.sendNow();
    assert.deepEqual(w.requests.slice(-2).map((r) => r.url), ["https://example.com/dir/log", "https://example.com/dir/set"], name);
  }
});

test("C2: a frame whose base address is gone when it ends", async () => {
  const w = new World();
  const tab = await visit(w);
  await w.tick(1_000);
  const b = new tab.beacon.PendingPostBeacon("/raw");
  b.setData("x");
  const a = new tab.beacon.AppendableBeacon("app", { key: "a" });
  a.appendData(1);
  tab.beacon.log("hello");
  tab.win.addEventListener("pagehide", () => a.appendData(2));
  tab.doc.baseURI = "about:srcdoc";
  await tab.leave();
  assert.deepEqual(w.arrived.filter((r) => r.body === "x").map((r) => r.url), ["https://example.com/raw"]);
  assert.deepEqual(numbers(w, "a"), [1, 2]);
  assert.ok(w.items.some((i) => i.d.msg === "hello"));
});

test("a browser that knows no keepalive ends by sendBeacon", async () => {
  const w = new World();
  const tab = await w.open({ keepalive: false });
  post(tab.beacon, "x");
  post(tab.beacon, "y".repeat(50_000));
  append(tab.beacon, 1);
  await tab.leave();
  assert.deepEqual([times(w, "x"), times(w, "y".repeat(50_000)), numbers(w, "a")], [1, 1, [1]]);
  assert.equal(U, w.arrived[0].url);
});
