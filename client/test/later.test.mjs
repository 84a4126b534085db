// Browsers with fetchLater.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, idle } from "./harness.mjs";
import { later, times, visit } from "./helpers.mjs";

const U = "https://example.com/b";
const open = (w, o) => w.open({ fetchLater: true, ...o });
const post = (beacon, data, options) => {
  const b = new beacon.PendingPostBeacon(U, options);
  b.setData(data);
  return b;
};

test("the browser holds it, with a time always", async () => {
  const w = new World();
  const tab = await open(w);
  post(tab.beacon, "x");
  new tab.beacon.PendingGetBeacon("/g", { timeout: 1_000 });
  assert.equal(tab.later.length, 0, "changes in a row are one registration");
  await idle();
  assert.deepEqual(tab.later.map((e) => [e.init.method, e.init.body, e.init.activateAfter, e.init.credentials]), [
    ["POST", "x", 1_800_000, "include"], ["GET", undefined, 1_500, "include"],
  ].map(([m, b, ...r]) => [m, b ?? null, ...r]));
});

test("changes in a row are one registration, and replace the one before", async () => {
  const w = new World();
  const tab = await open(w);
  const a = new tab.beacon.AppendableBeacon(U, { key: "a" });
  for (let i = 0; i < 10; i++) a.appendData(i);
  await idle();
  assert.equal(tab.registrations, 1);
  a.appendData(10);
  await w.tick(99);
  a.appendData(11);
  assert.equal(tab.registrations, 1, "it takes time");
  await w.tick(1);
  assert.equal(tab.registrations, 2);
  assert.equal(tab.later.length, 1);
  const { ev, via, r } = JSON.parse(tab.later[0].init.body);
  assert.deepEqual([ev.length, via, r], [12, "later", 12]);
});

test("navigation, close and crash are the browser's", async () => {
  for (const how of ["leave", "crash"]) {
    const w = new World();
    const tab = await open(w);
    post(tab.beacon, "x");
    new tab.beacon.ReplaceableBeacon(U).replaceData(1);
    await idle();
    await tab[how]();
    assert.deepEqual(w.requests.map((r) => r.kind), ["later", "later"]);
  }
});

test("a hidden page sends what the browser holds: both may be killed", async () => {
  const w = new World();
  const tab = await open(w);
  const a = post(tab.beacon, "a");
  const b = post(tab.beacon, "b", { backgroundTimeout: 0 });
  const c = post(tab.beacon, "c", { backgroundTimeout: 5_000 });
  await idle();
  await tab.hide();
  assert.deepEqual([a.pending, b.pending, c.pending], [false, false, true]);
  assert.equal(w.requests.length, 0, "it may be the browser that ends");
  await w.tick(250);
  assert.deepEqual(w.requests.map((r) => [r.kind, r.body]), [["fetch", "a"], ["fetch", "b"]]);
  assert.deepEqual(tab.later.map((e) => [e.init.body, e.init.activateAfter]), [["c", 5_250]]);
  await tab.show();
  assert.equal(tab.later.find((e) => e.init.body === "c").init.activateAfter, 1_800_000);
});

test("a browser that quits hides its pages and sends what they take back: no twins", async () => {
  for (const how of ["shutdown", "leave", "restore"]) {
    const w = new World();
    const tab = await visit(w, { fetchLater: true });
    post(tab.beacon, "raw");
    post(tab.beacon, "timed", { backgroundTimeout: 5_000 });
    new tab.beacon.PendingGetBeacon("/g");
    await w.tick(1_000);
    if (how === "shutdown") await tab.shutdown();
    else {
      await tab.hide();
      await tab.leave({ persisted: how === "restore" });
      if (how === "restore") await tab.restore();
    }
    await w.tick(1_000);
    await later(w, { fetchLater: true });
    assert.deepEqual(["raw", "timed", "/g"].map((what) => times(w, what)), [1, 1, 1], how);
  }
});

test("what is left to a browser that may be quitting is the page's again at once, if more is known", async () => {
  const o = { fetchLater: true };
  const cases = {
    pending: async ({ tab }) => tab.beacon.consent("pending"),
    denied: async ({ tab }) => tab.beacon.consent("denied"),
    offline: ({ tab }) => tab.online(false),
    frozen: async ({ tab }) => tab.doc.emit("freeze"),
    changed: async ({ b }) => b.setData("new"),
    late: ({ w }) => w.tick(50),
  };
  const want = { pending: [], denied: [], offline: [], frozen: ["raw"], changed: ["new"], late: ["raw"] };
  for (const [how, f] of Object.entries(cases)) {
    const w = new World();
    const tab = await visit(w, o, { onerror() {} });
    const b = new tab.beacon.PendingPostBeacon("/_pb", how === "late" ? { timeout: 1_100 } : {});
    b.setData("raw");
    await w.tick(1_000);
    await tab.hide();
    await w.tick(50);
    assert.deepEqual([tab.later.length, b.pending], [1, false], `${how}: left to the browser, and decided`);
    await f({ w, tab, b });
    await idle();
    assert.equal(tab.later.length, 0, `${how}: taken back`);
    const bodies = () => w.requests.filter((r) => !r.envelope).map((r) => r.body);
    assert.deepEqual(bodies(), want[how], how);
    // By nobody once more, but what the store has.
    if (how === "offline") tab.kill();
    else await w.tick(10_000);
    if (how === "pending") tab.kill();
    await later(w, o);
    assert.deepEqual(bodies(), how === "offline" ? ["raw"] : want[how], `${how}: in the end`);
  }
});

test("shown again at once it is sent all the same, but what had time: that has all of it again", async () => {
  const w = new World();
  const tab = await open(w);
  const a = post(tab.beacon, "a");
  const b = post(tab.beacon, "b", { backgroundTimeout: 100 });
  await idle();
  for (let i = 0; i < 5; i++) {
    await tab.hide();
    await w.tick(90);
    await tab.show();
    await w.tick(10);
  }
  await w.tick(10_000);
  assert.deepEqual([w.requests.length, a.pending, b.pending], [1, false, true]);
  assert.deepEqual(tab.later.map((e) => [e.init.body, e.init.activateAfter]), [["b", 1_800_000]]);
  await tab.hide();
  await w.tick(249);
  assert.deepEqual([w.requests.length, a.pending, b.pending], [1, false, true]);
  await w.tick(1);
  assert.deepEqual(w.requests.map((r) => [r.kind, r.body]).sort(), [["fetch", "a"], ["fetch", "b"]]);
});

test("with ids nobody waits for the browser, and with onHidden: store it goes on holding what is not stored", async () => {
  const w = new World();
  const tab = await visit(w, { fetchLater: true });
  post(tab.beacon, "id", { idParam: "id" });
  const b = post(tab.beacon, "x", { onHidden: "store", timeout: 5_000 });
  await w.tick(1_000);
  await tab.hide();
  assert.equal(times(w, "id"), 1);
  await w.tick(1_000);
  assert.deepEqual([times(w, "x"), b.pending, tab.later.length, tab.registrations], [0, true, 1, tab.registrations]);
  await w.tick(3_000);
  assert.equal(times(w, "x"), 1, "its time has come");
});

test("without requestIdleCallback nothing waits for the browser: timers of hidden pages are too slow", async () => {
  const w = new World();
  const tab = await open(w, { globals: { requestIdleCallback: undefined } });
  const b = post(tab.beacon, "x");
  await idle();
  await tab.hide();
  assert.deepEqual([w.requests.map((r) => r.body), b.pending, tab.later.length], [["x"], false, 0]);
});

test("what the browser sent is not pending, and is not sent again", async () => {
  const w = new World();
  const tab = await open(w);
  const b = post(tab.beacon, "b");
  const c = post(tab.beacon, "c", { timeout: 1_000 });
  const a = new tab.beacon.AppendableBeacon(U, { key: "a" });
  a.appendData(1);
  await idle();
  for (const e of [...tab.later]) e.fire();
  assert.equal(b.pending, false);
  b.setData("again");
  a.appendData(2);
  await w.tick(10_000);
  assert.equal(c.pending, false);
  await tab.leave();
  assert.deepEqual(w.requests.filter((r) => !r.envelope).map((r) => r.body), ["b", "c"]);
  assert.deepEqual(w.items.map((i) => i.n), [1, 2]);
});

test("our timer comes first and takes it back", async () => {
  const w = new World();
  const tab = await open(w);
  post(tab.beacon, "x", { timeout: 1_000 });
  await w.tick(10_000);
  assert.deepEqual(w.requests.map((r) => r.kind), ["fetch"]);
  assert.equal(tab.later.length, 0);
});

test("a frozen page: the browser's timer", async () => {
  const w = new World();
  const tab = await open(w);
  const b = post(tab.beacon, "x", { backgroundTimeout: 1_000 });
  await tab.hide();
  tab.frozen = true;
  await w.tick(1_500);
  assert.deepEqual(w.requests.map((r) => r.kind), ["later"]);
  tab.frozen = false;
  assert.equal(b.pending, false);
  await w.tick(10_000);
  assert.equal(w.requests.length, 1);
});

test("a new registration does not prolong the wait", async () => {
  const w = new World();
  const tab = await open(w);
  const b = post(tab.beacon, "1", { timeout: 1_000 });
  await w.tick(600);
  b.setData("2");
  await idle();
  assert.equal(tab.later[0].init.activateAfter, 900);
  await w.tick(400);
  assert.deepEqual(w.requests.map((r) => r.body), ["2"]);
});

test("a page in use for hours keeps its beacons", async () => {
  const w = new World();
  const tab = await open(w);
  const b = post(tab.beacon, "x");
  await w.tick(5 * 3_600_000);
  assert.equal(b.pending, true);
  assert.equal(tab.later.length, 1);
});

test("deactivate, setData(null) and sendNow take it back", async () => {
  const w = new World();
  const tab = await open(w);
  const [a, b, c] = ["a", "b", "c"].map((d) => post(tab.beacon, d));
  await idle();
  a.deactivate();
  b.setData(null);
  c.sendNow();
  assert.equal(tab.later.length, 0);
  await tab.leave();
  assert.deepEqual(w.requests.map((r) => r.body), ["c"]);
});

test("over the quota it goes as if there were no fetchLater", async () => {
  const w = new World();
  const tab = await open(w, { quota: () => true });
  const b = post(tab.beacon, "x");
  const c = post(tab.beacon, "c", { timeout: 100 });
  await w.tick(100);
  assert.deepEqual([b.pending, c.pending], [true, false]);
  await tab.leave();
  assert.deepEqual(w.requests.map((r) => r.kind), ["fetch", "fetch"]);
});

test("data put in while the page ends", async () => {
  const w = new World();
  const tab = await open(w);
  const r = new tab.beacon.ReplaceableBeacon(U, { key: "r" });
  r.replaceData(1);
  tab.win.addEventListener("pagehide", () => r.replaceData(2));
  tab.doc.addEventListener("visibilitychange", () => r.replaceData(3));
  await tab.leave();
  assert.deepEqual(w.items.map((i) => i.d), [3]);
});

test("offline the browser would lose it", async () => {
  const w = new World();
  const tab = await open(w);
  const b = post(tab.beacon, "x");
  await idle();
  await tab.online(false);
  assert.equal(tab.later.length, 0);
  await tab.hide();
  assert.equal(b.pending, true);
  await tab.show();
  await tab.online(true);
  assert.equal(tab.later.length, 1);
});

test("back from the cache everything is sent", async () => {
  const w = new World();
  const tab = await open(w);
  const b = post(tab.beacon, "x");
  await idle();
  await tab.leave({ persisted: true });
  await tab.restore();
  assert.equal(b.pending, false);
  await tab.leave();
  assert.equal(w.requests.length, 1);
});
