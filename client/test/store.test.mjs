// The crash store.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, fakeStorage, idle } from "./harness.mjs";

const U = "https://example.com/_pb";
const post = (beacon, data, options) => {
  const b = new beacon.PendingPostBeacon(U, options);
  b.setData(data);
  return b;
};
const append = (beacon, data, options) => {
  const b = new beacon.AppendableBeacon(U, { key: "a", ...options });
  b.appendData(data);
  return b;
};
const open = async (w, o) => {
  const tab = await w.open({ page: true, ...o });
  tab.beacon.init({ gpc: "flag", ...o?.init });
  return tab;
};
const records = (w) => Object.keys(w.storage.data).filter((k) => k.startsWith("bcn:q") && !/^\[\d+\]$/.test(w.storage.data[k]));
const own = (w) => w.items.filter((i) => i.envelope.k === "a").map((i) => [i.id, i.envelope.via]);
const bodies = (w) => w.arrived.filter((r) => !r.envelope).map((r) => r.body);

test("nothing is stored before init, nor by the beacons alone", async () => {
  const w = new World();
  const tab = await w.open();
  append(tab.beacon, 1);
  await w.tick(1_000);
  await tab.hide();
  assert.deepEqual(Object.keys(w.storage.data), []);
});

test("written within 250 ms; gone when answered", async () => {
  const w = new World();
  const tab = await open(w);
  const before = records(w).length;
  const a = append(tab.beacon, 1);
  await w.tick(249);
  assert.equal(records(w).length, before);
  await w.tick(1);
  assert.ok(records(w).length > before);
  w.respond = () => ({ status: 204, delay: 100 });
  a.sendNow();
  await w.tick(50);
  assert.ok(records(w).length > before, "kept while under way");
  await w.tick(50);
  assert.ok(!records(w).some((k) => w.storage.data[k].includes('"k":"a"') || w.storage.data[k].includes('\\"k\\":\\"a\\"')));
});

test("written at once when the page is hidden or ends", async () => {
  for (const how of ["hide", "leave"]) {
    const w = new World();
    const tab = await open(w);
    await w.tick(1_000);
    tab.nav.onLine = false;
    append(tab.beacon, 1);
    await (how === "hide" ? tab.hide() : tab.leave());
    assert.ok(Object.values(w.storage.data).some((v) => v.includes('\\"k\\":\\"a\\"')), how);
  }
});

test("a crash: the next page sends it, once, as recovered", async () => {
  const w = new World();
  const one = await open(w);
  append(one.beacon, 1);
  post(one.beacon, "raw");
  post(one.beacon, new URLSearchParams("a=b c"));
  new one.beacon.PendingGetBeacon("/g");
  await w.tick(300);
  one.kill();
  const two = await open(w);
  new two.beacon.PendingGetBeacon("/g?more"); // so that it is known to be a place to send to
  await w.tick(5_000);
  assert.deepEqual(own(w), [], "the lease is fresh");
  await w.tick(120_000);
  assert.deepEqual(own(w), [["a:1", "rec"]]);
  const raw = w.arrived.filter((r) => !r.envelope && r.tab === two);
  assert.deepEqual(raw.map((r) => [r.method, r.url, `${r.body}`]).sort(), [
    ["GET", "https://example.com/g", "null"], ["POST", U, "a=b+c"], ["POST", U, "raw"],
  ]);
  assert.ok(raw.some((r) => r.body instanceof URLSearchParams));
  assert.deepEqual(records(w).filter((k) => w.storage.data[k].includes("raw")), []);
  await w.tick(1e6);
  const three = await open(w);
  await w.tick(1e6);
  assert.equal(w.arrived.filter((r) => !r.envelope).length, 3);
  assert.ok(three.alive);
});

test("a clean end leaves no lease, so that the next page need not wait", async () => {
  const w = new World();
  const one = await open(w);
  one.nav.onLine = false;
  append(one.beacon, 1);
  await one.leave();
  assert.ok(!Object.keys(w.storage.data).some((k) => k.startsWith("bcn:t:")));
  await open(w);
  await w.tick(3_100);
  assert.deepEqual(own(w), [["a:1", "rec"]]);
});

test("blobs, forms and bytes stay in memory", async () => {
  const w = new World();
  const tab = await open(w);
  await w.tick(300);
  const n = records(w).length;
  for (const data of [new Blob(["x"]), new FormData(), new Uint8Array(3)]) post(tab.beacon, data);
  await w.tick(300);
  assert.equal(records(w).length, n);
});

test("a page that lives keeps its own: two tabs, also one whose timers starve", async () => {
  const w = new World();
  const one = await open(w);
  append(one.beacon, 1);
  post(one.beacon, "raw", { idParam: "id" });
  await w.tick(300);
  await open(w);
  await w.tick(600_000);
  assert.deepEqual(own(w), [], "its lease was renewed");
  one.frozen = true; // longer than a lease
  await w.tick(200_000);
  const three = await open(w);
  await w.tick(200_000);
  one.frozen = false;
  await w.tick(1_000);
  await one.leave();
  await three.leave();
  const ids = new Set(own(w).map(([id]) => id));
  assert.deepEqual([...ids], ["a:1"]);
  assert.equal(new Set(w.arrived.filter((r) => r.body === "raw").map((r) => r.url)).size, 1, "the server can tell");
});

test("two pages recover at once: each record is sent by one", async () => {
  const w = new World();
  const one = await open(w);
  one.nav.onLine = false;
  for (let i = 0; i < 10; i++) post(one.beacon, `${i}`);
  await one.leave();
  await open(w);
  await open(w);
  await w.tick(200_000);
  assert.deepEqual(bodies(w).sort(), Array.from({ length: 10 }, (_, i) => `${i}`));
});

test("who has the lock recovers, and gives it back", async () => {
  const w = new World();
  const one = await open(w);
  one.nav.onLine = false;
  post(one.beacon, "x");
  await one.leave();
  w.locked = true;
  const two = await open(w);
  await w.tick(10_000);
  assert.deepEqual(bodies(w), []);
  w.locked = false;
  await w.tick(3_000);
  assert.deepEqual(bodies(w), ["x"]);
  assert.equal(two.locks, 0);
});

test("without Web Locks", async () => {
  const w = new World();
  const one = await open(w, { locks: false });
  one.nav.onLine = false;
  post(one.beacon, "x");
  await one.leave();
  await open(w, { locks: false });
  await w.tick(10_000);
  assert.deepEqual(bodies(w), ["x"]);
});

test("recovery when the connection is back", async () => {
  const w = new World();
  const one = await open(w);
  one.nav.onLine = false;
  post(one.beacon, "x");
  await one.leave();
  const two = await open(w, { onLine: false });
  await w.tick(200_000);
  await two.online(true);
  await w.tick(3_000);
  assert.deepEqual(bodies(w), ["x"]);
});

test("what the browser holds has a record only if twins can be told", async () => {
  const w = new World();
  const tab = await open(w, { fetchLater: true });
  post(tab.beacon, "raw");
  post(tab.beacon, "id", { idParam: "id" });
  append(tab.beacon, "a");
  await w.tick(300);
  const stored = Object.values(w.storage.data).join();
  assert.ok(!stored.includes('"raw"') && stored.includes('"id"') && stored.includes("\\\"a\\\""));
  tab.crash();
  await open(w);
  await w.tick(120_000);
  assert.deepEqual(bodies(w).sort(), ["id", "id", "raw"]);
  assert.deepEqual(own(w), [["a:1", "later"], ["a:1", "rec"]]);
});

test("what the browser holds is the browser's, if the page only goes into the cache", async () => {
  const w = new World();
  const tab = await open(w, { fetchLater: true });
  append(tab.beacon, 1);
  await w.tick(300);
  await tab.leave({ persisted: true });
  assert.deepEqual(records(w), []);
});

test("what can be told from its twin is kept by a page that is closed: so may the browser be", async () => {
  for (const fetchLater of [false, true]) {
    const w = new World();
    w.respond = () => ({ status: 204, delay: 1_000 }); // longer than the page lives
    const tab = await open(w, { fetchLater });
    append(tab.beacon, 1);
    post(tab.beacon, "raw");
    await w.tick(300);
    await tab.leave();
    await open(w);
    await w.tick(3_100);
    assert.equal(own(w).filter(([id, via]) => id === "a:1" && via === "rec").length, 1);
    assert.deepEqual(bodies(w), ["raw"]);
  }
});

test("reliability atLeastOnce keeps what has no answer of a page in the cache too", async () => {
  for (const fetchLater of [false, true]) {
    const w = new World();
    w.respond = () => ({ status: 204, delay: 1_000 });
    const tab = await open(w, { fetchLater, init: { reliability: "atLeastOnce" } });
    append(tab.beacon, 1);
    await w.tick(300);
    await tab.leave({ persisted: true });
    assert.ok(records(w).length);
    await open(w);
    await w.tick(3_100);
    assert.ok(own(w).some(([id, via]) => id === "a:1" && via === "rec"));
  }
});

test("records that must not be sent", async () => {
  const t = 1_700_000_000_000;
  const record = (url, at = t, method = "POST") => JSON.stringify([at, "i", url, method, "body", false, null, "id", null, undefined, 0, 0]);
  const w = new World();
  Object.assign(w.storage.data, {
    "bcn:q1:x:1": record("https://evil.example/"),
    "bcn:q1:x:2": record(U, t - 86_400_001),
    "bcn:q1:x:3": record(U, t + 86_500_000),
    "bcn:q1:x:4": "{",
    "bcn:q1:x:5": "null",
    "bcn:q1:x:6": record("javascript:alert(1)"),
    "bcn:q1:x:7": record(U, t, "DELETE"),
    "bcn:q1:x:8": record("https://listed.example/"),
    "bcn:q1:x:9": record("https://example.com/account/close"),
    "bcn:q:x:10": record(U),
    other: "not ours",
  });
  await open(w, { init: { origins: ["https://listed.example"] } });
  await w.tick(10_000);
  assert.deepEqual(w.requests.filter((r) => !r.envelope).map((r) => [r.url, r.method]).sort(), [["https://listed.example/", "POST"], [U, "POST"]].sort());
  assert.equal(w.storage.data.other, "not ours");
  // What is for a place that this page does not send to waits for one that does.
  assert.deepEqual(records(w).filter((k) => k.includes(":x:")).sort(), ["bcn:q1:x:1", "bcn:q1:x:6", "bcn:q1:x:9", "bcn:q:x:10"]);
});

test("twenty records, the oldest give way, others' keys stay", async () => {
  const w = new World();
  w.storage.data.other = "x";
  const tab = await open(w);
  await w.tick(300);
  for (let i = 0; i < 25; i++) {
    post(tab.beacon, `n${i}`);
    await w.tick(300);
  }
  assert.equal(records(w).length, 20);
  const stored = Object.values(w.storage.data).join();
  assert.ok(!stored.includes('"n0"') && stored.includes('"n24"'));
  assert.equal(w.storage.data.other, "x");
});

test("200 KB in total", async () => {
  const w = new World();
  const tab = await open(w);
  for (let i = 0; i < 5; i++) {
    post(tab.beacon, `${i}`.repeat(55_000));
    await w.tick(300);
  }
  const size = records(w).reduce((n, k) => n + w.storage.data[k].length, 0);
  assert.ok(size > 150_000 && size <= 200_000, `${size}`);
});

test("a store that is full, denied or gone changes nothing else", async () => {
  for (const storage of [fakeStorage({ quota: 100 }), fakeStorage({ broken: true }), null]) {
    const w = new World({ storage });
    const tab = await open(w);
    append(tab.beacon, 1);
    post(tab.beacon, "x");
    tab.beacon.log("hi");
    await w.tick(1_000);
    await tab.leave();
    assert.deepEqual(bodies(w), ["x"]);
    assert.ok(own(w).length);
    if (storage?.data) assert.ok(Object.keys(storage.data).length < 5);
  }
});

test("tries are counted over visits", async () => {
  const w = new World();
  w.respond = (r) => (r.envelope ? {} : { status: 503 });
  const first = await open(w);
  post(first.beacon, "x").sendNow();
  await idle();
  await first.leave();
  for (let i = 0; i < 8; i++) {
    const tab = await open(w);
    await w.tick(3_100);
    await tab.leave();
  }
  const n = w.requests.filter((r) => r.body === "x").length;
  assert.ok(n >= 4 && n <= 5, `${n}`);
});

test("Retry-After holds for the next visit too", async () => {
  const w = new World();
  w.respond = (r) => (r.envelope ? {} : { status: 503, headers: { "Retry-After": "600" } });
  const one = await open(w);
  post(one.beacon, "x").sendNow();
  await idle();
  await one.leave();
  w.respond = () => ({});
  await open(w);
  await w.tick(500_000);
  assert.equal(w.requests.filter((r) => r.body === "x").length, 1);
  await w.tick(110_000);
  assert.equal(w.requests.filter((r) => r.body === "x").length, 2);
});

test("in the cache, another page may take over: no twin afterwards", async () => {
  const w = new World();
  w.respond = (r) => (r.envelope ? {} : { status: w.time < 1_700_000_001_000 ? 503 : 204 });
  const one = await open(w);
  post(one.beacon, "x").sendNow();
  await idle();
  await one.leave({ persisted: true });
  await w.tick(2_000);
  const two = await open(w);
  await w.tick(5_000);
  await one.restore();
  await w.tick(600_000);
  assert.ok(two.alive);
  assert.equal(w.requests.filter((r) => r.body === "x").length, 2, "refused once, taken once");
});

test("a browser without visibilitychange at the end: the next visit has it", async () => {
  const w = new World();
  const one = await open(w);
  post(one.beacon, "x");
  await idle();
  await one.leave({ change: false });
  await open(w);
  await w.tick(3_100);
  assert.deepEqual(bodies(w), ["x"]);
});

test("nothing is recovered while a page ends", async () => {
  const w = new World();
  const one = await open(w);
  one.nav.onLine = false;
  post(one.beacon, "x");
  await one.leave();
  const two = await open(w);
  await two.leave();
  assert.deepEqual(bodies(w), []);
  await open(w);
  await w.tick(3_100);
  assert.deepEqual(bodies(w), ["x"]);
});
