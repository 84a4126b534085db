// The life of a page: what is sent when, and how often.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, idle } from "./harness.mjs";

const U = "https://example.com/b";
const post = (beacon, data, options) => {
  const b = new beacon.PendingPostBeacon(U, options);
  b.setData(data);
  return b;
};

test("without ids: once, at visibilitychange and not in pagehide", async () => {
  const w = new World();
  const tab = await w.open();
  const b = post(tab.beacon, "x");
  tab.win.emit("pagehide", { persisted: false });
  assert.equal(w.requests.length, 0);
  assert.equal(b.pending, true);
  await tab.hide();
  assert.equal(b.pending, false);
  assert.deepEqual(w.requests.map((r) => [r.kind, r.body]), [["fetch", "x"]]);
});

test("with ids: once too, and if the page does not come back its record stays", async () => {
  const w = new World();
  const tab = await w.open();
  const a = new tab.beacon.AppendableBeacon(U, { key: "a" });
  a.appendData(1);
  post(tab.beacon, "x", { idParam: "id" });
  tab.win.emit("pagehide", { persisted: false });
  assert.equal(w.requests.length, 0, "not in pagehide");
  await tab.hide();
  assert.deepEqual(w.requests.map((r) => [r.kind, r.init.keepalive, r.envelope?.via]), [["fetch", true, "bye"], ["fetch", true, undefined]]);
  await tab.show();
  await tab.hide();
  assert.equal(w.requests.length, 2);
});

test("a page that is hidden already ends with pagehide", async () => {
  const w = new World();
  const tab = await w.open();
  await tab.hide();
  post(tab.beacon, "x", { backgroundTimeout: 1e6 });
  await idle();
  assert.equal(w.requests.length, 0);
  await tab.leave();
  assert.deepEqual(w.requests.map((r) => r.body), ["x"]);
});

test("hidden, then closed: once", async () => {
  const w = new World();
  const tab = await w.open();
  post(tab.beacon, "x");
  new tab.beacon.PendingGetBeacon(U);
  new tab.beacon.ReplaceableBeacon(U).replaceData(1);
  await tab.hide();
  tab.doc.emit("freeze");
  await tab.leave();
  assert.equal(w.requests.length, 3);
});

test("data that other listeners put in afterwards", async () => {
  const w = new World();
  const tab = await w.open();
  const b = new tab.beacon.PendingPostBeacon(U);
  const a = new tab.beacon.AppendableBeacon(U, { key: "a" });
  tab.win.addEventListener("pagehide", () => a.appendData("pagehide"));
  tab.doc.addEventListener("visibilitychange", () => {
    b.setData("late");
    a.appendData("change");
    new tab.beacon.PendingGetBeacon("/late");
  });
  await tab.leave();
  assert.ok(w.requests.some((r) => r.body === "late"));
  assert.ok(w.requests.some((r) => r.url.endsWith("/late")));
  assert.deepEqual([...new Set(w.items.map((i) => i.d))].sort(), ["change", "pagehide"]);
});

test("a beacon made in pagehide, and sendNow there", async () => {
  const w = new World();
  const tab = await w.open();
  tab.win.addEventListener("pagehide", () => {
    post(tab.beacon, "made");
    const b = post(tab.beacon, "now");
    b.sendNow();
    assert.equal(b.pending, false);
  });
  await tab.leave();
  assert.deepEqual(w.requests.map((r) => r.body).sort(), ["made", "now"]);
});

test("changes while hidden are sent together", async () => {
  const w = new World();
  const tab = await w.open();
  await tab.hide();
  const a = new tab.beacon.AppendableBeacon(U, { key: "a" });
  a.appendData(1);
  a.appendData(2);
  await idle();
  assert.deepEqual(w.requests.map((r) => r.envelope.ev.length), [2]);
});

test("freeze sends what would wait for a timer", async () => {
  const w = new World();
  const tab = await w.open();
  const b = post(tab.beacon, "x", { backgroundTimeout: 1e6 });
  await tab.hide();
  assert.equal(b.pending, true);
  tab.doc.emit("freeze");
  assert.equal(b.pending, false);
  assert.equal(w.requests.length, 1);
});

test("back from the cache: beacons go on, old ones are not repeated", async () => {
  const w = new World();
  const tab = await w.open();
  const a = new tab.beacon.AppendableBeacon(U, { key: "a" });
  a.appendData(1);
  const b = post(tab.beacon, "x");
  await tab.leave({ persisted: true });
  const n = w.requests.length;
  await tab.restore();
  assert.equal(b.pending, false);
  await w.tick(60_000);
  assert.equal(w.requests.length, n);
  a.appendData(2);
  assert.equal(a.pending, true);
  await tab.leave();
  assert.deepEqual([...new Set(w.items.map((i) => i.n))], [1, 2]);
});

test("a browser without visibilitychange at the end", async () => {
  const w = new World();
  const tab = await w.open();
  const b = post(tab.beacon, "x");
  const c = post(tab.beacon, "c");
  tab.win.addEventListener("pagehide", () => c.sendNow());
  await tab.leave({ persisted: true, change: false });
  await tab.restore();
  assert.equal(b.pending, true, "it stays as it was");
  await idle();
  assert.deepEqual(w.requests.map((r) => r.body), ["c"], "what was sent is sent");
});

test("onHidden: store keeps it while hidden", async () => {
  const w = new World();
  const tab = await w.open();
  const b = post(tab.beacon, "x", { onHidden: "store", timeout: 1e5 });
  await tab.hide();
  assert.equal(b.pending, true);
  await tab.show();
  assert.equal(b.pending, true);
  await w.tick(1e5);
  assert.equal(w.requests.length, 1);
});

test("prerendering sends nothing before it is activated", async () => {
  const w = new World();
  const tab = await w.open({ prerendering: true, hidden: true, fetchLater: true });
  post(tab.beacon, "x", { timeout: 10 });
  post(tab.beacon, "y").sendNow();
  await w.tick(10_000);
  assert.equal(w.requests.length + tab.later.length, 0);
  tab.doc.prerendering = false;
  tab.doc.visibilityState = "visible";
  tab.doc.emit("prerenderingchange");
  await w.tick(10_000);
  assert.deepEqual(w.requests.map((r) => r.body).sort(), ["x", "y"]);
});

test("no listener for what keeps pages out of the cache", async () => {
  const w = new World();
  const types = [];
  const tab = await w.open();
  for (const target of [tab.win, tab.doc]) {
    const add = target.addEventListener;
    target.addEventListener = function (type, ...rest) {
      types.push(type);
      return add.call(this, type, ...rest);
    };
  }
  tab.beacon.init();
  assert.ok(types.includes("pagehide") && types.includes("visibilitychange"));
  assert.ok(!types.some((t) => /unload/.test(t)), `${types}`);
});
