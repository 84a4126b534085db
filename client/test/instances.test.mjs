// What a page sees: one client, however often its script is there, whatever is called
// before it is, and whatever stands in its place.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./harness.mjs";

const sessions = (w) => {
  const all = new Map();
  for (const i of w.items) if (i.e === "session" && !(all.get(i.envelope.pv)?.n > i.n)) all.set(i.envelope.pv, i);
  return [...all.values()].map((i) => i.d.engaged);
};
const logs = (w) => w.items.filter((i) => i.e === "log").map((i) => i.d.msg);

for (const [name, more] of Object.entries({
  "two tags": (tab) => tab.run({}),
  "five runs of a tag, as of a router": (tab) => [1, 2, 3, 4].map(() => tab.run({})),
  "a tag, then a module": (tab) => tab.run(undefined).init(),
})) {
  test(`one page view of ${name}`, async () => {
    const w = new World();
    const tab = await w.open({ tag: {} });
    const first = tab.win.beacon;
    tab.options.tag = undefined; // what run() without one is: the module
    more(tab);
    tab.beacon.log("x");
    await w.tick(65_000);
    await tab.leave();
    assert.equal(tab.win.beacon, first);
    assert.deepEqual([sessions(w), logs(w)], [[65_000], ["x"]]);
  });
}

test("a module, then a tag: the same client, and its options", async () => {
  const w = new World();
  const tab = await w.open();
  const { beacon, init, log, PendingPostBeacon } = tab.beacon;
  init({ consent: "required" });
  const classic = tab.run({ consent: "granted", props: '{"a":1}' });
  assert.equal(classic, beacon);
  assert.deepEqual([classic.PendingPostBeacon, classic.log], [PendingPostBeacon, log]);
  classic.consent("denied");
  log("x");
  new PendingPostBeacon("/x", { timeout: 1 }).setData("x");
  await w.tick(40_000);
  await tab.leave();
  assert.equal(w.requests.length, 0);
});

test("a tag after a module that never began begins, with its consent", async () => {
  const w = new World();
  const tab = await w.open();
  tab.run({ consent: "required" });
  tab.beacon.log("x");
  await w.tick(40_000);
  assert.equal(w.requests.length, 0);
  tab.beacon.consent("granted");
  await w.tick(6_000);
  assert.deepEqual(logs(w), ["x"]);
});

/** As Tag.Queue writes it. */
const stub = (win) => {
  const q = [];
  const beacon = (win.beacon = { q });
  for (const name of ["init", "log", "view", "consent", "flush", "install"]) beacon[name] = (...args) => void q.push([name, ...args]);
  return beacon;
};

test("calls before the script are made up for, consent first, and later ones go through", async () => {
  const w = new World();
  const tab = await w.open();
  const { win } = tab;
  delete win[Symbol.for("beacon")];
  const { log, view, consent } = stub(win);
  log("one", { a: 1 });
  view("second");
  log("two");
  log(); // whatever it is
  win.beacon.q.push(["nothing"], ["constructor"]);
  consent("granted");
  tab.run({ consent: "required" });
  assert.equal(typeof win.beacon.PendingPostBeacon, "function");
  log("three");
  win.beacon.log("four");
  await w.tick(6_000);
  win.beacon.flush();
  await w.tick(0);
  consent("denied");
  log("five");
  await w.tick(6_000);
  await tab.leave();
  assert.deepEqual(logs(w).filter(Boolean), ["one", "two", "three", "four"]);
  assert.deepEqual([...new Set(w.items.filter((i) => i.d.name === "second").map((i) => i.envelope.pv))], [...new Set(w.items.filter((i) => i.d.msg === "two").map((i) => i.envelope.pv))]);
});

test("a denial before the script: nothing leaves", async () => {
  const w = new World();
  const tab = await w.open();
  delete tab.win[Symbol.for("beacon")];
  const early = stub(tab.win);
  early.log("x");
  early.consent("denied");
  tab.run({});
  await w.tick(40_000);
  await tab.leave();
  assert.deepEqual([w.requests.length, Object.keys(w.storage.data)], [0, ["bcn:c"]]);
});

test("a module leaves the page's own variable alone", async () => {
  const w = new World();
  for (const own of ["mine", { q: "mine" }, null]) {
    const tab = await w.open();
    tab.win.beacon = own;
    tab.beacon.init();
    assert.equal(tab.win.beacon, own);
  }
});

test("markup in the place of the script's tag, or of its queue, starts nothing of its own", async () => {
  const w = new World();
  const tab = await w.open({ gpc: true });
  delete tab.win[Symbol.for("beacon")];
  tab.doc.currentScript = { dataset: { endpoint: "https://evil.example/", consent: "granted", gpc: "flag", token: "theirs" }, src: "https://evil.example/" };
  tab.win.beacon = { q: { value: "an element" } };
  tab.run({ consent: "required" });
  tab.win.beacon.consent("granted");
  tab.win.beacon.log("x");
  await w.tick(40_000);
  await tab.leave();
  assert.equal(w.requests.length, 0);
});

test("the classic file as a module cannot see its tag: told, and init is there", async () => {
  const w = new World();
  const tab = await w.open();
  delete tab.win[Symbol.for("beacon")];
  tab.script = null;
  const { run } = tab;
  run.call(Object.assign(Object.create(tab), { set script(_) {} }), {});
  assert.deepEqual(tab.warnings.map((a) => a.slice(0, 2)), [["warn", "beacon:"]]);
  tab.win.beacon.log("x");
  await w.tick(40_000);
  assert.equal(w.requests.length, 0);
  tab.win.beacon.init();
  tab.win.beacon.log("y");
  await w.tick(6_000);
  assert.deepEqual(logs(w), ["y"]);
});

test("install() makes the classes global in secure contexts alone", async () => {
  for (const [url, there] of [["https://example.com/", true], ["http://localhost/", true], ["http://192.168.1.5/", false]]) {
    const tab = await new World().open({ url });
    tab.beacon.install();
    assert.equal("PendingGetBeacon" in tab.win, there);
  }
});

test("beacon.session", async () => {
  const w = new World();
  const tab = await w.open();
  const { beacon, init } = tab.beacon;
  assert.equal(beacon.session, "");
  init({ consent: "required" });
  assert.equal(beacon.session, "");
  beacon.consent("granted");
  const id = beacon.session;
  await w.tick(2_000);
  await tab.leave();
  assert.ok(id && w.items.every((i) => i.envelope.sid === id));
  beacon.consent("denied");
  assert.equal(beacon.session, "");
});

test("flush() sends all that waits", async () => {
  for (const fetchLater of [false, true]) {
    const w = new World();
    const tab = await w.open({ fetchLater });
    const { init, log, flush, consent, PendingPostBeacon, PendingGetBeacon } = tab.beacon;
    flush();
    init();
    log("x");
    new PendingPostBeacon("/raw").setData("raw");
    new PendingGetBeacon("/get");
    await w.tick(2_500);
    flush();
    await w.tick(0);
    assert.deepEqual([logs(w), sessions(w)], [["x"], [2_500]]);
    assert.deepEqual(w.arrived.filter((r) => !r.envelope).map((r) => r.url).sort(), ["https://example.com/get", "https://example.com/raw"]);
    consent("pending");
    log("y");
    const n = w.requests.length;
    flush();
    await w.tick(0);
    assert.equal(w.requests.length, n);
    consent("granted");
    flush();
    await w.tick(0);
    assert.deepEqual(logs(w), ["x", "y"]);
  }
});

test("flush() tries again what has failed, but not before the server's time", async () => {
  const w = new World();
  let headers = {};
  w.respond = () => ({ status: 503, headers });
  const tab = await w.open({ tag: {} });
  tab.beacon.log("x");
  await w.tick(6_000);
  assert.deepEqual(logs(w), []);
  w.respond = () => ({ status: 204 });
  tab.beacon.flush();
  await w.tick(1);
  assert.deepEqual(logs(w), ["x"]);
  headers = { "Retry-After": "3600" };
  w.respond = () => ({ status: 503, headers });
  tab.beacon.log("y");
  await w.tick(6_000);
  w.respond = () => ({ status: 204 });
  tab.beacon.flush();
  await w.tick(60_000);
  assert.deepEqual(logs(w), ["x"]);
});

test("what was called before the script waits for what was said of consent", async () => {
  const w = new World();
  const tab = await w.open();
  delete tab.win[Symbol.for("beacon")];
  const early = stub(tab.win);
  early.log("x");
  early.view("y");
  early.flush();
  early.consent("denied");
  tab.run({});
  await w.tick(60_000);
  await tab.leave();
  assert.equal(w.requests.length, 0);
});

test("a module makes up for the calls before it too", async () => {
  const w = new World();
  const tab = await w.open();
  const { log } = stub(tab.win);
  log("early");
  tab.beacon.init();
  log("late");
  await w.tick(6_000);
  assert.deepEqual(logs(w), ["early", "late"]);
});
