// The classes as the explainer describes them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./harness.mjs";

const U = "https://example.com/b";

test("PendingBeacon is abstract", async () => {
  const { beacon } = await new World().open();
  assert.throws(() => new beacon.PendingBeacon(U), TypeError);
  assert.throws(() => beacon.PendingGetBeacon(U), TypeError);
  for (const C of [beacon.PendingGetBeacon, beacon.PendingPostBeacon, beacon.AppendableBeacon, beacon.ReplaceableBeacon]) {
    assert.ok(new C(U) instanceof beacon.PendingBeacon);
  }
});

test("URLs that are refused", async () => {
  const { beacon } = await new World().open();
  const bad = [
    undefined, null, "http://example.com/", "ftp://example.com/", "file:///x", "data:text/plain,x", "blob:https://example.com/x", "javascript:0",
    "about:blank", "ws://example.com", "https://", "http://127.evil.example/", "http://localhost.evil.example/", "http://localhost:x@evil.example/",
    "http://evil.example/localhost",
  ];
  for (const url of bad) {
    assert.throws(() => new beacon.PendingGetBeacon(url), TypeError, `GET ${url}`);
    assert.throws(() => new beacon.PendingPostBeacon(url), TypeError, `POST ${url}`);
    const b = new beacon.PendingGetBeacon(U);
    assert.throws(() => b.setURL(url), TypeError, `setURL ${url}`);
    assert.equal(b.url, U);
  }
  assert.throws(() => new beacon.PendingGetBeacon(), TypeError);
  assert.throws(() => new beacon.PendingPostBeacon(), TypeError);
});

test("URLs that are taken, and given back as they are", async () => {
  const { beacon } = await new World().open();
  const good = ["/", "?x", "", "b", U, "HTTPS://EXAMPLE.COM", "//other.example/x", "http://localhost/", "http://a.localhost:8/", "http://127.0.0.1:1/", "http://[::1]:8080/"];
  for (const url of good) {
    assert.equal(new beacon.PendingGetBeacon(url).url, url);
    assert.equal(new beacon.PendingPostBeacon(url).url, url);
  }
  assert.equal(new beacon.PendingGetBeacon({ toString: () => "/o" }).url, "/o");
});

test("a relative URL of a page without TLS is refused", async () => {
  const { beacon } = await new World().open({ url: "http://example.com/" });
  assert.throws(() => new beacon.PendingGetBeacon("/"), TypeError);
  assert.ok(new beacon.PendingGetBeacon(U));
});

test("URLs are resolved when given: a page changes its own", async () => {
  const w = new World();
  const { beacon, doc } = await w.open();
  const b = new beacon.PendingGetBeacon("x");
  doc.baseURI = "https://example.com/other/";
  b.sendNow();
  assert.equal(w.requests[0].url, "https://example.com/dir/x");
  assert.equal(b.url, "x");
});

test("properties and defaults", async () => {
  const { beacon } = await new World().open();
  for (const [C, method] of [[beacon.PendingGetBeacon, "GET"], [beacon.PendingPostBeacon, "POST"]]) {
    for (const options of [undefined, null, {}, { method: "PUT", url: "/x", pending: false, other: 1 }]) {
      const b = new C(U, options);
      assert.deepEqual([b.url, b.method, b.pending, b.timeout, b.backgroundTimeout], [U, method, true, -1, -1]);
    }
    const b = new C(U, { timeout: 5, backgroundTimeout: 7 });
    assert.deepEqual([b.timeout, b.backgroundTimeout], [5, 7]);
  }
});

test("url, method and pending cannot be written", async () => {
  const { beacon } = await new World().open();
  for (const b of [new beacon.PendingGetBeacon(U), new beacon.PendingPostBeacon(U)]) {
    const { method } = b;
    for (const name of ["url", "method", "pending"]) {
      assert.throws(() => {
        b[name] = "x";
      }, TypeError);
      new Function("b", "name", "b[name] = 'x'")(b, name); // not strict: without effect
    }
    assert.deepEqual([b.url, b.method, b.pending], [U, method, true]);
  }
});

test("timeouts are 32-bit integers", async () => {
  const { beacon } = await new World().open();
  const b = new beacon.PendingGetBeacon(U);
  for (const [given, got] of [[1.9, 1], [-1.9, -1], ["42", 42], [2 ** 32 + 5, 5], [2 ** 31, -(2 ** 31)], [NaN, 0], [null, 0], [true, 1], [undefined, 0]]) {
    b.timeout = given;
    b.backgroundTimeout = given;
    assert.deepEqual([b.timeout, b.backgroundTimeout], [got, got]);
    const c = new beacon.PendingGetBeacon(U, { timeout: given, backgroundTimeout: given });
    const want = given === undefined ? -1 : got; // as if it were not there
    assert.deepEqual([c.timeout, c.backgroundTimeout], [want, want]);
  }
});

test("methods that a class does not have", async () => {
  const { beacon } = await new World().open();
  assert.throws(() => new beacon.PendingGetBeacon(U).setData("x"), TypeError);
  assert.throws(() => new beacon.PendingPostBeacon(U).setURL("/x"), TypeError);
});

test("a GET beacon is held from the start", async () => {
  const w = new World();
  const tab = await w.open();
  const b = new tab.beacon.PendingGetBeacon(U);
  await w.tick(1e4);
  assert.equal(w.requests.length, 0);
  await tab.hide();
  assert.equal(w.requests.length, 1);
  assert.equal(b.pending, false);
  const [r] = w.requests;
  assert.deepEqual([r.kind, r.method, r.body, r.init.credentials, r.init.mode, r.init.keepalive], ["fetch", "GET", null, "include", undefined, true]);
});

test("setURL changes where it goes", async () => {
  const w = new World();
  const tab = await w.open();
  const b = new tab.beacon.PendingGetBeacon(U);
  b.setURL("/new");
  assert.equal(b.url, "/new");
  b.sendNow();
  b.setURL("/late");
  assert.equal(b.url, "/new");
  await tab.leave();
  assert.deepEqual(w.requests.map((r) => r.url), ["https://example.com/new"]);
});

test("a POST beacon is not held before it has data, yet pending", async () => {
  const w = new World();
  const tab = await w.open();
  const b = new tab.beacon.PendingPostBeacon(U, { timeout: 10 });
  b.setData(undefined);
  b.setData(null);
  await w.tick(1e3);
  assert.equal(b.pending, true);
  await tab.leave();
  assert.equal(w.requests.length, 0);
});

test("sendNow without data ends a POST beacon and sends nothing", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const b = new beacon.PendingPostBeacon(U);
  b.sendNow();
  assert.equal(b.pending, false);
  b.setData("x");
  await w.tick(1e3);
  assert.equal(w.requests.length, 0);
});

test("sendEmpty sends without data", async () => {
  const w = new World();
  const tab = await w.open();
  new tab.beacon.PendingPostBeacon(U, { sendEmpty: true });
  await tab.leave();
  assert.deepEqual(w.requests.map((r) => [r.kind, r.body]), [["fetch", null]]);
});

test("setData(null) takes it back", async () => {
  const w = new World();
  const tab = await w.open();
  const b = new tab.beacon.PendingPostBeacon(U, { timeout: 100 });
  b.setData("x");
  await w.tick(50);
  b.setData(null);
  await w.tick(100);
  assert.equal(b.pending, true);
  b.setData("y");
  await w.tick(99);
  assert.equal(w.requests.length, 0, "the timer starts anew");
  await w.tick(1);
  assert.deepEqual(w.requests.map((r) => r.body), ["y"]);
});

test("data of every type, as it was when set", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const sent = (data, change = () => {}) => {
    const b = new beacon.PendingPostBeacon(U);
    b.setData(data);
    change(data);
    b.sendNow();
    return w.requests.at(-1).body;
  };
  assert.equal(sent("é"), "é");
  assert.equal(sent(""), "");
  assert.equal(sent(0), "0");
  assert.equal(sent({}), "[object Object]");
  const buffer = new Uint8Array([1, 2, 3, 4]);
  assert.deepEqual([...new Uint8Array(sent(buffer.buffer, () => buffer.fill(0)))], [1, 2, 3, 4]);
  assert.deepEqual([...new Uint8Array(sent(new Uint8Array([9, 8, 7]).subarray(1)))], [8, 7]);
  assert.deepEqual([...new Uint8Array(sent(new DataView(new Uint8Array([5, 6, 7]).buffer, 1, 1)))], [6]);
  assert.deepEqual([...sent(new Uint16Array([258]))], [2, 1]);
  const blob = new Blob(["x"], { type: "application/json" });
  assert.equal(sent(blob), blob);
  const query = sent(new URLSearchParams("a=1&a=2"), (q) => q.append("b", "3"));
  assert.ok(query instanceof URLSearchParams);
  assert.equal(`${query}`, "a=1&a=2");
  const form = new FormData();
  form.append("a", "1");
  form.append("f", new File(["y"], "n.txt"));
  const got = sent(form, (f) => f.append("b", "2"));
  assert.ok(got instanceof FormData);
  assert.deepEqual([...got.keys()], ["a", "f"]);
  assert.equal(got.get("f").name, "n.txt");
  assert.throws(() => new beacon.PendingPostBeacon(U).setData(new ReadableStream()), TypeError);
});

test("deactivate and sendNow do what they do once", async () => {
  const w = new World();
  const tab = await w.open();
  const { PendingGetBeacon, PendingPostBeacon } = tab.beacon;
  const a = new PendingGetBeacon(U);
  a.deactivate();
  assert.equal(a.pending, false);
  a.deactivate();
  a.sendNow();
  const b = new PendingPostBeacon(U);
  b.setData("b");
  b.sendNow();
  assert.equal(b.pending, false);
  b.sendNow();
  b.deactivate();
  b.setData("c");
  const d = new PendingPostBeacon(U);
  d.deactivate();
  d.setData("d");
  await w.tick(10);
  await tab.leave();
  assert.deepEqual(w.requests.map((r) => r.body), ["b"]);
});

test("what is not pending cannot be changed", async () => {
  const { beacon } = await new World().open();
  const b = new beacon.PendingGetBeacon(U);
  b.sendNow();
  b.timeout = 5;
  b.backgroundTimeout = 5;
  b.setURL("/other");
  assert.deepEqual([b.timeout, b.backgroundTimeout, b.url], [-1, -1, U]);
});

test("timeout counts from when it is set", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const b = new beacon.PendingGetBeacon(U, { timeout: 100 });
  await w.tick(60);
  b.timeout = 100;
  await w.tick(60);
  assert.equal(b.pending, true);
  await w.tick(40);
  assert.equal(b.pending, false);
  assert.deepEqual(w.requests.map((r) => r.kind), ["fetch"]);
});

test("timeout 0, and a negative one that stops it", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const b = new beacon.PendingGetBeacon(U, { timeout: 0 });
  assert.equal(b.pending, true, "not in the same task");
  await w.tick(0);
  assert.equal(b.pending, false);
  const c = new beacon.PendingGetBeacon(U, { timeout: 100 });
  c.timeout = -5;
  await w.tick(1e3);
  assert.equal(c.pending, true);
});

test("the timeout of a POST beacon starts with its data, and goes on over changes", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const b = new beacon.PendingPostBeacon(U, { timeout: 100 });
  await w.tick(500);
  b.setData("1");
  await w.tick(60);
  b.setData("2");
  await w.tick(40);
  assert.deepEqual(w.requests.map((r) => r.body), ["2"]);
});

test("backgroundTimeout counts while hidden", async () => {
  const w = new World();
  const tab = await w.open();
  const b = new tab.beacon.PendingGetBeacon(U, { backgroundTimeout: 100 });
  await w.tick(1e3);
  await tab.hide();
  await w.tick(99);
  assert.equal(b.pending, true);
  await tab.show();
  await w.tick(1e3);
  assert.equal(b.pending, true, "starts anew");
  await tab.hide();
  await w.tick(99);
  assert.equal(b.pending, true);
  await w.tick(1);
  assert.equal(b.pending, false);
});

test("backgroundTimeout 0 and -1 send when the page is hidden", async () => {
  for (const backgroundTimeout of [0, -1]) {
    const w = new World();
    const tab = await w.open();
    const b = new tab.beacon.PendingPostBeacon(U, { backgroundTimeout });
    b.setData("x");
    await tab.hide();
    assert.equal(b.pending, false);
    assert.deepEqual(w.requests.map((r) => [r.kind, r.init.keepalive]), [["fetch", true]]);
  }
});

test("timeout runs in hidden pages too", async () => {
  const w = new World();
  const tab = await w.open();
  const b = new tab.beacon.PendingGetBeacon(U, { timeout: 50, backgroundTimeout: 1000 });
  await tab.hide();
  await w.tick(50);
  assert.equal(b.pending, false);
});

test("a POST beacon has the Content-Type of its body, and asks other origins for permission", async () => {
  const w = new World();
  const { beacon } = await w.open();
  for (const data of ["x", new Blob(["{}"], { type: "application/json" }), new Blob(["x"])]) {
    const b = new beacon.PendingPostBeacon("https://other.example/");
    b.setData(data);
    b.sendNow();
    const { mode = "cors", headers } = w.requests.at(-1).init;
    assert.deepEqual([mode, headers], ["cors", undefined]);
  }
});

test("install makes the classes global, nothing else does", async () => {
  const { beacon, win } = await new World().open();
  const names = ["PendingBeacon", "PendingGetBeacon", "PendingPostBeacon", "AppendableBeacon", "ReplaceableBeacon"];
  assert.ok(names.every((n) => !(n in win)));
  beacon.install();
  for (const n of names) assert.equal(win[n], beacon[n]);
});

test("exports", async () => {
  const { beacon } = await new World().open();
  assert.deepEqual(Object.keys(beacon).sort(), [
    "AppendableBeacon", "PendingBeacon", "PendingGetBeacon", "PendingPostBeacon", "ReplaceableBeacon", "beacon", "consent", "flush", "init", "install", "log", "view",
  ]);
});

test("the module can be loaded where there is no browser", async () => {
  await import("../beacon.js?server");
});

test("AppendableBeacon and ReplaceableBeacon", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const a = new beacon.AppendableBeacon(U, { key: "a" });
  const r = new beacon.ReplaceableBeacon(U, { key: "r" });
  assert.deepEqual([a.pending, r.pending, a.method, a.timeout], [false, false, "POST", -1]);
  a.sendNow();
  a.appendData(1);
  a.appendData({ x: [2] }, "named");
  r.replaceData("one");
  r.replaceData("two");
  assert.deepEqual([a.pending, r.pending], [true, true]);
  a.sendNow();
  r.sendNow();
  assert.deepEqual([a.pending, r.pending], [false, false]);
  a.appendData(3);
  r.replaceData("three");
  a.sendNow();
  r.sendNow();
  a.sendNow();
  await w.tick(1);
  assert.deepEqual(w.items.map((i) => [i.id, i.d, i.e]), [
    ["a:1", 1, undefined], ["a:2", { x: [2] }, "named"], ["r:2", "two", undefined], ["a:3", 3, undefined], ["r:3", "three", undefined],
  ]);
  a.deactivate();
  a.appendData(4);
  assert.equal(a.pending, false);
  assert.throws(() => r.replaceData(1n), TypeError);
  const loop = {};
  loop.loop = loop;
  assert.throws(() => a.appendData(loop), TypeError);
  await w.tick(1e6);
  assert.equal(w.items.length, 5);
});

test("keys are unique unless given", async () => {
  const w = new World();
  const { beacon } = await w.open();
  for (let i = 0; i < 2; i++) {
    const b = new beacon.AppendableBeacon(U);
    b.appendData(i);
    b.sendNow();
  }
  assert.notEqual(w.requests[0].envelope.k, w.requests[1].envelope.k);
});

test("the timeout of a series runs from the first unsent item", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const a = new beacon.AppendableBeacon(U, { timeout: 100 });
  await w.tick(500);
  a.appendData(1);
  await w.tick(60);
  a.appendData(2);
  await w.tick(40);
  assert.equal(w.items.length, 2);
  a.appendData(3);
  await w.tick(99);
  assert.equal(w.items.length, 2);
  await w.tick(1);
  assert.equal(w.items.length, 3);
});

test("the beacons alone", { skip: process.env.CLIENT === "dist" && "of the source" }, async () => {
  const core = await import("../src/core.entry.js?alone");
  assert.deepEqual(Object.keys(core).sort(), ["AppendableBeacon", "PendingBeacon", "PendingGetBeacon", "PendingPostBeacon", "ReplaceableBeacon"]);
  const dist = await import("../dist/core.min.mjs");
  assert.deepEqual(Object.keys(dist).sort(), Object.keys(core).sort());
});
