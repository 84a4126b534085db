// Sessions, page views, engaged time and the log.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./harness.mjs";

const open = async (w, o) => {
  const tab = await w.open(o);
  tab.beacon.init(o?.init);
  return tab;
};
/** The last total of each page view. */
const totals = (w) => {
  const views = new Map();
  for (const i of w.items) {
    if (i.e === "session" && !(views.get(i.envelope.pv)?.n >= i.n)) views.set(i.envelope.pv, { n: i.n, ...i.d, sid: i.envelope.sid });
  }
  return [...views.values()];
};
const stored = (w) => Object.keys(w.storage.data).filter((k) => k.startsWith("bcn:"));

test("engaged time: seen and focused", async () => {
  const w = new World();
  const t0 = w.time;
  const tab = await open(w);
  await w.tick(10_000);
  tab.doc.focus = false;
  tab.win.emit("blur");
  await w.tick(5_000);
  tab.doc.focus = true;
  tab.win.emit("focus");
  await w.tick(1_000);
  await tab.hide();
  await w.tick(100_000);
  await tab.show();
  await w.tick(2_000);
  await tab.leave();
  const [view, ...rest] = totals(w);
  assert.equal(rest.length, 0);
  assert.deepEqual([view.start, view.end - view.start, view.engaged, view.seen], [t0, 118_000, 13_000, 18_000]);
});

test("five minutes without input is the most that counts", async () => {
  const w = new World();
  const tab = await open(w);
  await w.tick(3_600_000);
  tab.doc.emit("x");
  tab.win.emit("keydown");
  await w.tick(60_000);
  await tab.leave();
  assert.equal(totals(w)[0].engaged, 360_000);
  assert.equal(totals(w)[0].seen, 3_660_000);
});

test("input keeps it counting", async () => {
  const w = new World();
  const tab = await open(w);
  for (let i = 0; i < 30; i++) {
    await w.tick(60_000);
    tab.win.emit(["pointermove", "scroll", "keydown", "touchstart", "pointerdown"][i % 5]);
  }
  await tab.leave();
  assert.equal(totals(w)[0].engaged, 1_800_000);
});

test("totals every 30 s and when hidden, only if there is more", async () => {
  const w = new World();
  const tab = await open(w);
  await w.tick(95_000);
  const at = w.requests.map((r) => r.at - 1_700_000_000_000);
  assert.deepEqual(at, [30_000, 60_000, 90_000]);
  await tab.hide();
  assert.equal(w.requests.length, 4);
  await w.tick(300_000);
  assert.equal(w.requests.length, 4);
  await tab.show();
  await w.tick(500);
  await tab.hide();
  assert.equal(w.requests.length, 4, "less than a second");
  const keys = new Set(w.requests.map((r) => r.envelope.k));
  assert.equal(keys.size, 1);
  const { k, pv, m } = w.requests[0].envelope;
  assert.deepEqual([k, m], [`s:${pv}`, "replace"]);
});

test("a short visit is reported too", async () => {
  for (const fetchLater of [false, true]) {
    const w = new World();
    const tab = await open(w, { fetchLater });
    await w.tick(100);
    await tab.leave();
    assert.equal(totals(w).length, 1);
  }
});

test("with fetchLater a crash loses half a minute at most", async () => {
  const w = new World();
  const tab = await open(w, { fetchLater: true });
  await w.tick(45_000);
  tab.crash();
  assert.equal(totals(w)[0].engaged, 30_000);
});

test("the log", async () => {
  const w = new World();
  const tab = await w.open();
  tab.beacon.log("before init");
  tab.beacon.init({ endpoint: "/collect" });
  tab.beacon.log("clicked", { what: "x" });
  tab.beacon.log("plain");
  const loop = {};
  loop.loop = loop;
  tab.beacon.log("bad", loop);
  tab.beacon.log("huge", { x: "x".repeat(70_000) });
  await w.tick(5_000);
  const logs = w.items.filter((i) => i.e === "log");
  assert.deepEqual(logs.map((i) => [i.n, i.d.msg]), [[1, "clicked"], [2, "plain"], [3, "huge"]]);
  assert.deepEqual(logs[0].d, { msg: "clicked", what: "x" });
  const { k, pv, m, page } = logs[0].envelope;
  assert.deepEqual([k, m, page], [`l:${pv}`, "append", "https://example.com/dir/page"]);
  assert.ok(w.requests.every((r) => r.url === "https://example.com/collect"));
  tab.beacon.log("last");
  await tab.hide();
  assert.equal(w.items.at(-1).d.msg === "last" || w.items.at(-2).d.msg === "last", true);
});

test("page: false leaves the page out", async () => {
  const w = new World();
  const tab = await open(w, { init: { page: false } });
  await tab.leave();
  assert.equal("page" in w.requests[0].envelope, false);
});

test("sessions: over pages, 30 minutes of nothing, a day", async () => {
  const w = new World();
  const visit = async () => {
    const tab = await open(w);
    await w.tick(5_000);
    await tab.leave();
    return totals(w).at(-1).sid;
  };
  const one = await visit();
  await w.tick(29 * 60_000);
  assert.equal(await visit(), one);
  await w.tick(31 * 60_000);
  const two = await visit();
  assert.notEqual(two, one);
  let last = two;
  let same = 0;
  for (let i = 0; i < 60 && last === two; i++, same++) {
    await w.tick(25 * 60_000);
    last = await visit();
  }
  assert.ok(same > 50 && same < 60, `${same}`);
});

test("a page left alone for long is another visit when it is seen again", async () => {
  const w = new World();
  const tab = await open(w);
  await w.tick(5_000);
  await tab.hide();
  await w.tick(31 * 60_000);
  await tab.show();
  await w.tick(5_000);
  await tab.leave();
  const [a, b] = totals(w);
  assert.notEqual(a.sid, b.sid);
  assert.deepEqual([a.engaged, b.engaged], [5_000, 5_000]);
});

test("without storage a session is a page", async () => {
  const w = new World({ storage: null });
  for (let i = 0; i < 2; i++) {
    const tab = await open(w);
    await w.tick(2_000);
    await tab.leave();
  }
  assert.equal(new Set(totals(w).map((t) => t.sid)).size, 2);
});

test("page views: view(), and back from the cache", async () => {
  const w = new World();
  const tab = await open(w);
  tab.beacon.log("one");
  await w.tick(2_000);
  tab.beacon.view();
  tab.beacon.log("two");
  await w.tick(3_000);
  await tab.leave({ persisted: true });
  await w.tick(10_000);
  await tab.restore();
  tab.beacon.log("three");
  await w.tick(4_000);
  await tab.leave();
  assert.deepEqual(totals(w).map((t) => t.engaged), [2_000, 3_000, 4_000]);
  assert.equal(new Set(totals(w).map((t) => t.sid)).size, 1);
  const logs = new Map(w.items.filter((i) => i.e === "log").map((i) => [i.id, i]));
  assert.deepEqual([...logs.values()].map((i) => [i.n, i.d.msg]), [[1, "one"], [1, "two"], [1, "three"]]);
  for (const i of w.items) assert.ok(i.envelope.k.endsWith(`:${i.envelope.pv}`));
});

test("init again changes options and does not start again", async () => {
  const w = new World();
  const tab = await open(w);
  tab.beacon.init({ onerror: () => {} });
  await w.tick(30_000);
  assert.equal(w.requests.length, 1);
});

test("init with an endpoint that cannot be", async () => {
  const { beacon } = await new World().open();
  assert.throws(() => beacon.init({ endpoint: "http://example.com/" }), TypeError);
  beacon.view();
});

test("prerendered: a page view when it is seen", async () => {
  const w = new World();
  const tab = await open(w, { prerendering: true, hidden: true });
  await w.tick(60_000);
  assert.deepEqual([w.requests.length, stored(w)], [0, []]);
  tab.doc.prerendering = false;
  tab.doc.visibilityState = "visible";
  tab.doc.emit("prerenderingchange");
  await w.tick(2_000);
  await tab.leave();
  assert.deepEqual(totals(w).map((t) => t.engaged), [2_000]);
});
