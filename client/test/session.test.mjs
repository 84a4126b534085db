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
  assert.equal(w.requests.length, 5, "the last word of a page may be half a second");
  await tab.show();
  await tab.hide();
  assert.equal(w.requests.length, 5, "nothing more");
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
    // A page that was open for a moment was seen: one of which that is 0 opens no session.
    assert.deepEqual(totals(w).map((v) => [v.end - v.start, v.seen, v.engaged]), [[100, 100, 100]]);
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

test("the address of a page view is the one it began with", async () => {
  const w = new World();
  const tab = await open(w);
  await w.tick(35_000);
  tab.win.history.pushState(null, "", "/other");
  tab.beacon.log("x");
  await w.tick(35_000);
  tab.beacon.view();
  await w.tick(35_000);
  await tab.leave();
  const pages = new Map();
  for (const i of w.items) pages.set(i.envelope.pv, [...(pages.get(i.envelope.pv) || []), i.envelope.page]);
  assert.deepEqual([...pages.values()].map((p) => [...new Set(p)]), [["https://example.com/dir/page"], ["https://example.com/other"]]);
});

test("view(name, data), and where the visitor came from", async () => {
  const w = new World();
  const tab = await w.open({ referrer: "https://other.example/a?b=c" });
  tab.beacon.view("before init");
  tab.beacon.init();
  await w.tick(2_000);
  tab.beacon.view("cart", { items: 3, engaged: -1, name: "theirs" });
  await w.tick(2_000);
  tab.beacon.view();
  await w.tick(2_000);
  await tab.leave();
  const last = totals(w).map(({ name, ref, items, engaged }) => ({ name, ref, items, engaged }));
  const here = "https://example.com/dir/page";
  assert.deepEqual(last, [
    { name: undefined, ref: "https://other.example/a", items: undefined, engaged: 2_000 },
    { name: "cart", ref: here, items: 3, engaged: 2_000 },
    { name: undefined, ref: here, items: undefined, engaged: 2_000 },
  ]);
});

test("another visit of the same page keeps its name, and comes from nowhere", async () => {
  const w = new World();
  const tab = await w.open({ referrer: "https://other.example/" });
  tab.beacon.init();
  await w.tick(2_000);
  tab.beacon.view("cart", { items: 3 });
  await w.tick(2_000);
  await tab.hide();
  await w.tick(31 * 60_000);
  await tab.show();
  await w.tick(2_000);
  await tab.leave({ persisted: true });
  await tab.restore();
  await w.tick(2_000);
  await tab.leave();
  assert.deepEqual(totals(w).map(({ name, ref, items }) => [name, ref, items]), [
    [undefined, "https://other.example/", undefined], ["cart", "https://example.com/dir/page", 3], ["cart", undefined, 3], ["cart", undefined, 3],
  ]);
});

test("log's own message is the one that counts", async () => {
  const w = new World();
  const tab = await open(w);
  tab.beacon.log("click", { msg: "x", y: 1 });
  await w.tick(6_000);
  assert.deepEqual(w.items.find((i) => i.e === "log").d, { msg: "click", y: 1 });
});

/** The machine sleeps: no timer runs, and the clock has gone on afterwards. */
const sleep = async (w, ms) => {
  for (const timer of w.timers) timer.at = Math.max(timer.at, w.time + ms);
  w.time += ms;
};

test("time asleep is neither seen nor engaged", async () => {
  for (const wakes of ["timer", "focus", "pointermove"]) {
    const w = new World();
    const tab = await open(w);
    await w.tick(40_000);
    await sleep(w, 20 * 60_000);
    if (wakes !== "timer") tab.win.emit(wakes);
    await w.tick(50_000);
    await tab.leave();
    const [view, ...rest] = totals(w);
    assert.equal(rest.length, 0);
    // Up to half a minute before it is not known either.
    assert.ok(view.seen > 75_000 && view.seen <= 90_000, `${wakes}: ${view.seen}`);
    assert.equal(view.engaged, wakes === "pointermove" ? view.seen : 30_000);
  }
});

test("after a night's sleep it is another visit", async () => {
  for (const wakes of ["timer", "focus", "pointermove", "blur"]) {
    const w = new World();
    const tab = await open(w);
    await w.tick(40_000);
    await sleep(w, 8 * 3_600_000);
    if (wakes !== "timer") tab.win.emit(wakes);
    await w.tick(50_000);
    await tab.leave();
    const all = totals(w);
    assert.equal(all.length, 2, wakes);
    assert.notEqual(all[0].sid, all[1].sid);
    assert.ok(all[0].seen >= 30_000 && all[0].seen <= 40_000, `${wakes}: ${all[0].seen}`);
    assert.ok(all[1].seen >= 45_000 && all[1].seen <= 50_000, `${wakes}: ${all[1].seen}`);
  }
});

test("a session of the store that cannot be is not gone on with", async () => {
  const now = new World().time;
  const good = { id: "abcdef", first: now - 60_000, last: now - 1_000 };
  for (const [bad, s] of Object.entries({
    long: { ...good, id: "x".repeat(65) }, huge: { ...good, id: "x".repeat(70_000) },
    number: { ...good, id: 5 }, object: { ...good, id: { length: 3 } }, list: { ...good, id: ["x".repeat(70_000)] }, none: { ...good, id: undefined }, empty: { ...good, id: "" },
    future: { ...good, first: now + 3_600_000, last: now + 3_600_000 }, "future beginning": { ...good, first: now + 60_000 }, "future end": { ...good, last: now + 86_400_000 },
    texts: { ...good, first: "x", last: "y" }, "no times": { id: "abcdef" }, "no object": 5, list2: [], null: null,
  })) {
    const w = new World();
    w.storage.data["bcn:s"] = JSON.stringify(s);
    const tab = await open(w);
    await w.tick(2_000);
    await tab.leave();
    const { sid } = totals(w)[0];
    assert.ok(typeof sid === "string" && sid.length > 0 && sid.length < 65 && sid !== s?.id, `${bad}: ${sid}`);
    assert.equal(JSON.parse(w.storage.data["bcn:s"]).id, sid);
    const next = await open(w);
    assert.equal(next.beacon.beacon.session, sid, `${bad}: it lasts`);
  }
  const w = new World();
  w.storage.data["bcn:s"] = JSON.stringify(good);
  assert.equal((await open(w)).beacon.beacon.session, "abcdef");
  w.storage.data["bcn:s"] = "no JSON";
  assert.match((await open(w)).beacon.beacon.session, /^\w+$/);
});

test("starting touches neither the store nor input", async () => {
  const w = new World();
  const reads = [];
  const tab = await w.open();
  const { storage } = tab;
  Object.defineProperty(tab, "storage", { get: () => (reads.push(1), storage) });
  const listens = [];
  const add = tab.win.addEventListener;
  tab.win.addEventListener = function (type, f, o) {
    listens.push([type, o]);
    add.call(this, type, f, o);
  };
  tab.beacon.init();
  assert.deepEqual([reads.length, listens.filter(([type]) => /pointer|scroll|key|touch/.test(type))], [0, []]);
  await w.tick(1);
  assert.ok(reads.length > 0);
  const input = listens.filter(([type]) => /pointer|scroll|key|touch/.test(type));
  assert.ok(input.length === 5 && input.every(([, o]) => o === true));
});

test("a page that ends before it has wholly started is reported", async () => {
  const w = new World();
  const tab = await open(w);
  await tab.leave();
  assert.equal(totals(w).length, 1);
});

test("log does not throw, whatever it is given", async () => {
  const w = new World();
  const errors = [];
  const tab = await open(w, { init: { onerror: (e) => errors.push(e.reason) } });
  tab.beacon.log("x", { get y() { throw new Error("mine"); } });
  tab.beacon.log("x", new Proxy({}, { ownKeys() { throw new Error("mine"); } }));
  assert.deepEqual(errors, ["data", "data"]);
});
