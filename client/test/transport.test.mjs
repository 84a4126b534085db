// How requests leave, how much at once, and what is tried again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, idle } from "./harness.mjs";

const U = "https://example.com/b";
const post = (beacon, data, options) => {
  const b = new beacon.PendingPostBeacon(U, options);
  b.setData(data);
  return b;
};

test("by fetch, in use and at the end", async () => {
  const w = new World();
  const tab = await w.open();
  post(tab.beacon, "1").sendNow();
  post(tab.beacon, "2");
  await tab.leave();
  assert.deepEqual(w.requests.map((r) => [r.kind, r.body]), [["fetch", "1"], ["fetch", "2"]]);
  const { init } = w.requests[0];
  assert.deepEqual([init.method, init.keepalive, init.credentials, init.cache, init.mode], ["POST", true, "include", "no-store", undefined]);
});

test("credentials same-origin ends by fetch with keepalive", async () => {
  const w = new World();
  const tab = await w.open();
  post(tab.beacon, "1", { credentials: "same-origin" });
  await tab.leave();
  assert.deepEqual(w.requests.map((r) => [r.kind, r.init.credentials, r.init.keepalive]), [["fetch", "same-origin", true]]);
});

test("what sendBeacon refuses goes by fetch with keepalive", async () => {
  for (const options of [{}, { sendBeacon: false }]) {
    const w = new World();
    w.respond = (r) => ({ refused: r.kind === "beacon" });
    const tab = await w.open(options);
    post(tab.beacon, "1");
    await tab.leave();
    assert.deepEqual(w.arrived.map((r) => r.kind), ["fetch"]);
  }
});

test("60,000 bytes of UTF-8 at once, and released when answered", async () => {
  const w = new World();
  w.respond = () => ({ status: 204, delay: 100 });
  const { beacon } = await w.open();
  const kinds = () => w.requests.map((r) => r.init.keepalive);
  post(beacon, "é".repeat(15_000)).sendNow(); // 30,000 bytes
  post(beacon, "x".repeat(30_000)).sendNow();
  post(beacon, "x").sendNow();
  assert.deepEqual(kinds(), [true, true, false]);
  await w.tick(100);
  post(beacon, "x".repeat(60_000)).sendNow();
  post(beacon, "x".repeat(60_001)).sendNow();
  assert.deepEqual(kinds().slice(3), [true, false]);
});

test("nine requests at once", async () => {
  const w = new World();
  w.respond = () => ({ status: 204, delay: 100 });
  const { beacon } = await w.open();
  for (let i = 0; i < 11; i++) post(beacon, "x").sendNow();
  assert.deepEqual(w.requests.map((r) => r.init.keepalive), [...Array(9).fill(true), false, false]);
  await w.tick(100);
  post(beacon, "x").sendNow();
  assert.equal(w.requests.at(-1).init.keepalive, true);
});

test("the size of every type of body counts", async () => {
  const form = new FormData();
  form.append("x", new File(["y".repeat(60_000)], "f"));
  const text = new FormData();
  text.append("x", "y".repeat(60_000));
  const large = [new Uint8Array(60_001), new ArrayBuffer(60_001), new Blob(["x".repeat(60_001)]), new URLSearchParams({ x: "y".repeat(60_000) }), form, text];
  for (const data of large) {
    const w = new World();
    const errors = [];
    const tab = await w.open();
    post(tab.beacon, data, { onerror: (e) => errors.push(e) });
    await tab.leave();
    assert.deepEqual(errors.map((e) => e.reason), ["size"], data.constructor.name);
    assert.equal(w.requests.length, 0);
    const live = await new World().open();
    post(live.beacon, data).sendNow();
    assert.equal(live.world.requests[0].init.keepalive, false);
  }
});

test("the first and the last body that fits at the end", async () => {
  for (const [size, sent] of [[60_000, 1], [60_001, 0]]) {
    const w = new World();
    const tab = await w.open();
    post(tab.beacon, "x".repeat(size));
    await tab.leave();
    assert.equal(w.requests.length, sent);
  }
});

test("answers", async () => {
  const again = [408, 425, 429, 500, 502, 503, 504, 599];
  const never = [300, 304, 400, 401, 403, 404, 405, 410, 413, 415, 422];
  for (const status of [200, 204, ...again, ...never]) {
    const w = new World();
    const errors = [];
    w.respond = () => ({ status });
    const { beacon } = await w.open();
    post(beacon, "x", { onerror: (e) => errors.push([e.reason, e.status, e.url]) }).sendNow();
    await w.tick(3_600_000);
    assert.equal(w.requests.length, again.includes(status) ? 5 : 1, `${status}`);
    assert.deepEqual(errors, status < 300 ? [] : [[again.includes(status) ? "attempts" : "status", status, U]], `${status}`);
  }
});

test("an opaque answer is an answer", async () => {
  const w = new World();
  w.respond = () => ({ type: "opaque" });
  const { beacon } = await w.open();
  post(beacon, "x").sendNow();
  await w.tick(3_600_000);
  assert.equal(w.requests.length, 1);
});

test("Retry-After, in seconds and as a date", async () => {
  const date = new Date(new World().time + 300_000).toUTCString();
  for (const [header, least] of [["120", 120_000], [date, 298_000], ["soon", 0]]) {
    const w = new World();
    w.respond = () => (w.requests.length > 1 ? { status: 204 } : { status: 503, headers: { "Retry-After": header } });
    const { beacon } = await w.open();
    post(beacon, "x").sendNow();
    await w.tick(3_600_000);
    assert.equal(w.requests.length, 2);
    const waited = w.requests[1].at - w.requests[0].at;
    assert.ok(waited >= least && waited <= Math.max(least + 3_000, 4_000), `${header}: ${waited}`);
  }
});

test("waits are random within 2 s · 2ⁿ", async () => {
  const waits = [[], [], [], []];
  for (let seed = 0; seed < 100; seed++) {
    const w = new World({ seed });
    w.respond = () => ({ status: 503 });
    const { beacon } = await w.open();
    post(beacon, "x").sendNow();
    await w.tick(3_600_000);
    assert.equal(w.requests.length, 5);
    w.requests.slice(1).forEach((r, i) => waits[i].push(r.at - w.requests[i].at));
  }
  waits.forEach((list, i) => {
    const cap = 2000 * 2 ** (i + 1);
    assert.ok(Math.max(...list) <= cap && Math.max(...list) > cap * 0.9, `most ${Math.max(...list)} of ${cap}`);
    assert.ok(Math.min(...list) < cap * 0.1, `least ${Math.min(...list)} of ${cap}`);
  });
});

test("a failed request is repeated, the same", async () => {
  for (const options of [{}, { idParam: "_b" }]) {
    const w = new World();
    const errors = [];
    w.respond = () => (w.requests.length > 1 ? {} : { rejected: true, arrived: true });
    const { beacon } = await w.open();
    post(beacon, "x", { ...options, onerror: (e) => errors.push(e) }).sendNow();
    await idle();
    assert.equal(w.requests.length, 1, "not at once");
    await w.tick(10_000);
    assert.equal(w.requests.length, 2);
    assert.deepEqual(errors, []);
    assert.equal(new Set(w.requests.map((r) => r.url)).size, 1);
  }
});

test("a fetch that throws", async () => {
  const w = new World();
  const errors = [];
  const { beacon } = await w.open({ patched: true });
  post(beacon, "x", { onerror: (e) => errors.push([e.reason, e.error.message]) }).sendNow();
  await w.tick(1e6);
  assert.deepEqual(errors, [["attempts", "patched fetch"]]);
});

test("natives are taken when the client is loaded", async () => {
  const w = new World();
  const tab = await w.open();
  const { sendBeacon } = tab.nav;
  tab.nav.sendBeacon = () => assert.fail("patched");
  assert.ok(sendBeacon);
  post(tab.beacon, "x");
  await tab.leave();
  assert.equal(w.requests.length, 1);
});

test("onerror may throw", async () => {
  const w = new World();
  w.respond = () => ({ status: 400 });
  const { beacon } = await w.open();
  post(beacon, "x", { onerror: () => assert.fail("on purpose") }).sendNow();
  await w.tick(10);
});

test("idParam", async () => {
  const w = new World();
  const tab = await w.open();
  for (const [url, want] of [["/", /\/\?_b=\w+\.1$/], ["/?a=%20+b", /\/\?a=%20\+b&_b=\w+\.1$/], ["/#f", /\/\?_b=\w+\.1(#f)?$/]]) {
    const b = new tab.beacon.PendingGetBeacon(url, { idParam: "_b" });
    assert.equal(b.url, url);
    b.sendNow();
    assert.match(w.requests.at(-1).url, want);
  }
  const b = post(tab.beacon, "x", { idParam: "_b" });
  b.setData("y");
  b.sendNow();
  assert.match(w.requests.at(-1).url, /\?_b=\w+\.2$/);
});

test("offline, beacons are held; sent ones wait for the connection", async () => {
  const w = new World();
  const tab = await w.open();
  await tab.online(false);
  const held = post(tab.beacon, "held", { timeout: 100 });
  post(tab.beacon, "sent").sendNow();
  await w.tick(60_000);
  assert.equal(held.pending, true);
  assert.equal(w.requests.length, 0);
  await tab.online(true);
  await w.tick(2_000);
  assert.deepEqual(w.requests.map((r) => r.body).sort(), ["held", "sent"]);
});

test("a connection lost while sending", async () => {
  const w = new World();
  w.respond = () => ({ rejected: true });
  const tab = await w.open();
  post(tab.beacon, "x").sendNow();
  tab.nav.onLine = false;
  await w.tick(60_000);
  w.respond = () => ({});
  await tab.online(true);
  await w.tick(2_000);
  assert.deepEqual(w.arrived.map((r) => r.body), ["x"]);
});

test("twenty wait, the oldest give way", async () => {
  const w = new World();
  const tab = await w.open();
  const errors = [];
  await tab.online(false);
  for (let i = 0; i < 25; i++) post(tab.beacon, `${i}`, { onerror: (e) => errors.push(e.reason) }).sendNow();
  assert.deepEqual(errors, Array(5).fill("full"));
  await tab.online(true);
  await w.tick(2_000);
  assert.deepEqual(w.requests.map((r) => +r.body).sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i + 5));
});

test("nothing is sent after a day", async () => {
  const w = new World();
  const tab = await w.open();
  const errors = [];
  await tab.online(false);
  post(tab.beacon, "x", { onerror: (e) => errors.push(e.reason) }).sendNow();
  await w.tick(86_400_001);
  await tab.online(true);
  await w.tick(2_000);
  assert.deepEqual([w.requests.length, errors], [0, ["expired"]]);
});

test("without a store, what waits gets a last chance", async () => {
  const w = new World();
  w.respond = () => ({ status: w.requests.length > 1 ? 204 : 503 });
  const tab = await w.open();
  post(tab.beacon, "x").sendNow();
  await idle();
  await tab.leave();
  assert.deepEqual(w.requests.map((r) => r.kind), ["fetch", "fetch"]);
  // Unless the server asked for a pause.
  const v = new World();
  v.respond = () => ({ status: 503, headers: { "Retry-After": "60" } });
  const other = await v.open();
  post(other.beacon, "x").sendNow();
  await idle();
  await other.leave();
  assert.equal(v.requests.length, 1);
});

test("splitting", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const a = new beacon.AppendableBeacon(U, { key: "a" });
  const sizes = [];
  for (let i = 1; i <= 30; i++) a.appendData({ i, text: "é".repeat(3_000) });
  a.sendNow();
  await idle();
  for (const r of w.requests) sizes.push(new TextEncoder().encode(r.body).length);
  assert.deepEqual(w.items.map((i) => i.n), Array.from({ length: 30 }, (_, i) => i + 1));
  assert.deepEqual(w.items.map((i) => i.d.i), w.items.map((i) => i.n));
  assert.ok(Math.max(...sizes) <= 60_000 && sizes[0] > 53_000, `${sizes}`);
  assert.equal(new Set(w.requests.map((r) => r.envelope.k)).size, 1);
  assert.equal(new Set(w.requests.map((r) => r.envelope.b)).size, w.requests.length);
});

test("an item that is too large alone goes alone", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const a = new beacon.AppendableBeacon(U, { key: "a" });
  a.appendData("small");
  a.appendData("x".repeat(70_000));
  a.appendData("small again");
  a.sendNow();
  await idle();
  assert.deepEqual(w.requests.map((r) => r.envelope.ev.map((e) => e.n)), [[1], [2], [3]]);
  assert.deepEqual(w.requests.map((r) => r.init.keepalive), [true, false, true]);
});

test("a value that is too large is refused, the one before stays", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const r = new beacon.ReplaceableBeacon(U, { key: "r" });
  r.replaceData("good");
  assert.throws(() => r.replaceData("é".repeat(30_000)), RangeError);
  r.sendNow();
  r.replaceData("next");
  r.sendNow();
  await idle();
  assert.deepEqual(w.items.map((i) => [i.n, i.d]), [[1, "good"], [2, "next"]]);
});
