// What pages put into beacons, and what they do while they put it in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { World, idle } from "./harness.mjs";
import { U, append, error, numbers, post, times, visit } from "./helpers.mjs";

// The window has classes of its own; what the tests make is of another realm.
class OtherBlob {}
class OtherForm {}
class OtherParams {}
const realm = { globals: { Blob: OtherBlob, FormData: OtherForm, URLSearchParams: OtherParams } };

test("B12: blobs, forms and parameters of another frame are sent as what they are", async () => {
  const form = new FormData();
  form.append("a", "1");
  form.append("f", new Blob(["file"]), "name");
  const data = { blob: new Blob(["text"], { type: "text/x" }), form, params: new URLSearchParams("a=1&a=2") };
  for (const leave of [false, true]) {
    for (const [name, value] of Object.entries(data)) {
      const w = new World();
      const tab = await w.open(realm);
      const b = post(tab.beacon, value);
      if (leave) await tab.leave();
      else b.sendNow();
      await idle();
      const { body } = w.arrived[0];
      if (name === "blob") assert.deepEqual([body.size, body.type, await body.text()], [4, "text/x", "text"]);
      if (name === "form") assert.deepEqual([...body].map(([k, v]) => [k, v.size ?? v]), [["a", "1"], ["f", 4]]);
      if (name === "params") assert.deepEqual([typeof body.getAll, `${body}`], ["function", "a=1&a=2"]);
    }
  }
});

test("B12: bytes of another frame", async () => {
  const w = new World();
  const { beacon } = await w.open();
  for (const source of ["new ArrayBuffer(3)", "new Uint8Array([1, 2, 3])", "new DataView(new ArrayBuffer(9), 2, 3)"]) {
    post(beacon, runInNewContext(source)).sendNow();
    assert.equal(w.requests.at(-1).body.byteLength, 3, source);
  }
});

test("B12: their size counts", async () => {
  const form = new FormData();
  form.append("f", new Blob(["x".repeat(60_000)]), "name");
  for (const data of [new Blob(["x".repeat(60_001)]), form, new URLSearchParams({ x: "y".repeat(60_000) })]) {
    const w = new World();
    const errors = [];
    const tab = await w.open(realm);
    post(tab.beacon, data, error(errors));
    await tab.leave();
    assert.deepEqual([errors, w.requests.length], [["size"], 0]);
  }
});

test("what is changed after it was given is not sent", async () => {
  const w = new World();
  const { beacon } = await w.open(realm);
  const params = new URLSearchParams("a=1");
  const bytes = new Uint8Array([1]);
  const list = [post(beacon, params), post(beacon, bytes)];
  params.append("b", "2");
  bytes[0] = 9;
  for (const b of list) b.sendNow();
  assert.deepEqual([`${w.requests[0].body}`, w.requests[1].body[0]], ["a=1", 1]);
});

test("B14: onerror that makes the same failure again is not called from itself", async () => {
  const w = new World();
  let depth = 0;
  let deepest = 0;
  let calls = 0;
  const tab = await w.open({ gpc: true });
  const onerror = () => {
    calls++;
    deepest = Math.max(deepest, ++depth);
    tab.beacon.log("failed");
    if (calls < 2_000) append(tab.beacon, 1);
    depth--;
  };
  tab.beacon.init({ gpc: "block", onerror });
  tab.beacon.log("hello");
  await w.tick(1_000);
  assert.equal(deepest, 1);
  assert.ok(calls >= 1 && calls < 5, `${calls} calls`);
  tab.beacon.log("again");
  assert.ok(calls >= 2 && calls < 9, "it is called for the next failure");
});

test("B14: an onerror that throws is called again", async () => {
  const w = new World();
  w.respond = () => ({ status: 400 });
  const { beacon } = await w.open();
  let calls = 0;
  for (let i = 0; i < 3; i++) {
    post(beacon, "x", { onerror() {
      calls++;
      throw new Error("on purpose");
    } }).sendNow();
    await idle();
  }
  assert.equal(calls, 3);
});

test("B15: toJSON that appends to the same beacon: each item has its number", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const a = append(beacon, 0);
  a.appendData({ toJSON: () => (a.appendData("inner"), "outer") });
  a.appendData("last");
  a.sendNow();
  await idle();
  assert.deepEqual(w.items.map((i) => i.n), [1, 2, 3, 4]);
  assert.deepEqual(w.items.map((i) => i.d).sort(), [0, "inner", "last", "outer"].sort());
});

test("B15: toJSON that throws, sends or ends the beacon", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const a = append(beacon, "one");
  assert.throws(() => a.appendData({ toJSON: () => assert.fail("on purpose") }), /on purpose/);
  a.appendData({ toJSON: () => (a.sendNow(), "two") });
  a.sendNow();
  await idle();
  assert.deepEqual(w.items.map((i) => [i.n, i.d]), [[1, "one"], [2, "two"]]);
  a.appendData({ toJSON: () => (a.deactivate(), "three") });
  a.sendNow();
  await idle();
  assert.equal(w.items.length, 2);
});

test("a beacon made while others are arranged is arranged too: in onerror", async () => {
  const w = new World();
  const tab = await w.open();
  const made = [];
  const onerror = () => made.push(post(tab.beacon, "made"));
  new tab.beacon.PendingPostBeacon(U); // from the first one on it listens
  await tab.hide();
  tab.win.addEventListener("pagehide", () => post(tab.beacon, "x".repeat(60_001), { onerror }));
  await tab.leave();
  assert.equal(made.length, 1);
  assert.equal(times(w, "made"), 1);
});

test("a beacon made while others are arranged is arranged too: by who patched fetchLater", async () => {
  const w = new World();
  let tab;
  const made = [];
  const quota = () => {
    if (made.length < 3) made.push(post(tab.beacon, `made ${made.length}`, { timeout: 100 }));
  };
  tab = await w.open({ fetchLater: true, quota });
  post(tab.beacon, "first");
  await w.tick(1_000);
  assert.equal(made.length, 3);
  assert.deepEqual(made.map((b, i) => [b.pending, times(w, `made ${i}`)]), Array(3).fill([false, 1]));
});

test("hostile getters and proxies break the call, not the client", async () => {
  const w = new World();
  const tab = await visit(w);
  const bad = [{ get x() { throw new Error("getter"); } }, { toString() { throw new Error("string"); }, toJSON() { throw new Error("json"); } }, 1n, Symbol("s")];
  const cycle = {};
  cycle.self = cycle;
  for (const data of [...bad, cycle]) {
    assert.doesNotThrow(() => tab.beacon.log("bad", { data }));
    const a = append(tab.beacon, "ok", { key: "k" });
    try { a.appendData(data); } catch {}
    try { post(tab.beacon, data); } catch {}
  }
  append(tab.beacon, "after");
  await tab.leave();
  assert.deepEqual(numbers(w, "a"), [1]);
  assert.ok(w.requests.every((r) => new URL(r.url).origin === new URL(U).origin));
});
