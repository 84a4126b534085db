// Consent and Global Privacy Control: what is not granted is not sent.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, idle } from "./harness.mjs";

const U = "https://example.com/_pb";
const open = async (w, o) => {
  const tab = await w.open(o);
  tab.beacon.init(o?.init);
  return tab;
};
const stored = (w) => Object.keys(w.storage.data).filter((k) => k.startsWith("bcn:"));

const use = async (w, tab) => {
  tab.beacon.log("x");
  const b = new tab.beacon.PendingPostBeacon(U, { timeout: 100 });
  b.setData("raw");
  const c = new tab.beacon.PendingPostBeacon(U);
  c.setData("now");
  c.sendNow();
  await w.tick(60_000);
  return b;
};

test("consent pending: in memory only", async () => {
  const w = new World();
  const tab = await open(w, { init: { consent: "required" }, fetchLater: true });
  const b = await use(w, tab);
  assert.equal(b.pending, true);
  await tab.hide();
  await tab.show();
  await tab.leave();
  assert.deepEqual([w.requests.length, tab.later.length, stored(w)], [0, 0, []]);
});

test("consent granted: all of it goes", async () => {
  for (const fetchLater of [false, true]) {
    const w = new World();
    const tab = await open(w, { init: { consent: "required" }, fetchLater });
    await use(w, tab);
    tab.beacon.consent("granted");
    await w.tick(3_000);
    await tab.leave();
    assert.deepEqual(w.arrived.filter((r) => !r.envelope).map((r) => r.body).sort(), ["now", "raw"]);
    assert.ok(w.items.some((i) => i.d.msg === "x"));
    assert.equal(Math.max(...w.items.filter((i) => i.e === "session").map((i) => i.d.engaged)), 63_000);
    assert.ok(stored(w).includes("bcn:s"));
  }
});

test("page views that ended before consent was granted go with it", async () => {
  for (const how of ["address", "view", "back"]) {
    const w = new World();
    const tab = await open(w, { init: { consent: "required", spa: true }, url: "https://example.com/a" });
    await w.tick(4_000);
    if (how === "back") {
      await tab.leave({ persisted: true });
      await tab.restore();
    } else if (how === "view") {
      tab.beacon.view("b");
    } else {
      tab.win.history.pushState(null, "", "/b");
      tab.win.emit("popstate");
    }
    await w.tick(3_000);
    assert.deepEqual([w.requests.length, stored(w)], [0, []]);
    tab.beacon.consent("granted");
    await tab.leave();
    const seen = new Map(w.items.filter((i) => i.e === "session").map((i) => [i.envelope.pv, i.d.seen]));
    assert.deepEqual([...seen.values()].map((ms) => Math.round(ms / 1000)).sort(), [3, 4], how);
    assert.equal(new Set(w.items.map((i) => i.envelope.sid)).size, 1);
  }
});

test("page views that ended before consent was denied are dropped", async () => {
  for (const gpc of [false, true]) {
    const errors = [];
    const w = new World();
    const tab = await open(w, { gpc, init: { consent: "required", onerror: (e) => errors.push(e) } });
    await w.tick(4_000);
    tab.beacon.view("b");
    await w.tick(3_000);
    tab.beacon.consent("denied");
    tab.beacon.view("c");
    await w.tick(3_000);
    tab.beacon.consent("granted");
    await tab.leave();
    assert.deepEqual(w.items.map((i) => i.d.name), gpc ? [] : ["c"]);
    assert.deepEqual(errors, []);
  }
});

test("consent denied: dropped, purged, and nothing afterwards", async () => {
  for (const from of ["required", "granted"]) {
    const w = new World();
    w.storage.data.other = "x";
    w.storage.data["bcn:q:old:1"] = "x";
    w.respond = () => ({ status: 503 });
    const tab = await open(w, { init: { consent: from }, fetchLater: true });
    const b = new tab.beacon.PendingPostBeacon(U);
    b.setData("x");
    await w.tick(1_000);
    tab.beacon.consent("denied");
    assert.deepEqual([b.pending, tab.later.length, Object.keys(w.storage.data)], [false, 0, ["other", "bcn:c"]]);
    const n = w.requests.length;
    assert.equal((await use(w, tab)).pending, false);
    await tab.hide();
    await tab.show();
    await tab.leave();
    assert.deepEqual([w.requests.length, Object.keys(w.storage.data)], [n, ["other", "bcn:c"]]);
  }
});

test("consent denied, then granted: from then on", async () => {
  const w = new World();
  const tab = await open(w, { init: { consent: "required" } });
  tab.beacon.log("before");
  tab.beacon.consent("denied");
  tab.beacon.log("between");
  tab.beacon.consent("granted");
  tab.beacon.log("after");
  await w.tick(10_000);
  await tab.leave();
  assert.deepEqual([...new Set(w.items.filter((i) => i.e === "log").map((i) => i.d.msg))], ["after"]);
});

test("consent granted, then pending: held back", async () => {
  const w = new World();
  const tab = await open(w, { fetchLater: true });
  const b = new tab.beacon.PendingPostBeacon(U);
  b.setData("x");
  await idle();
  tab.beacon.consent("pending");
  assert.deepEqual([b.pending, tab.later.length], [true, 0]);
  await w.tick(60_000);
  assert.equal(w.requests.length, 0);
  tab.beacon.consent("granted");
  assert.equal(b.pending, true);
  await tab.leave();
  assert.ok(w.requests.some((r) => r.body === "x"));
});

test("fifty wait for consent", async () => {
  const w = new World();
  const errors = [];
  const tab = await open(w, { init: { consent: "required", onerror: (e) => errors.push(e.reason) } });
  for (let i = 0; i < 60; i++) tab.beacon.log(`${i}`);
  for (let i = 0; i < 60; i++) new tab.beacon.PendingGetBeacon("/");
  assert.ok(errors.length >= 20 && errors.every((r) => r === "consent"));
  tab.beacon.consent("granted");
  await tab.leave();
  assert.deepEqual(new Set(w.items.filter((i) => i.e === "log").map((i) => i.n)).size, 50);
  assert.ok(w.requests.filter((r) => r.method === "GET").length <= 50);
});

test("GPC blocks unless it is only flagged", async () => {
  const w = new World();
  const tab = await open(w, { gpc: true });
  await use(w, tab);
  tab.beacon.consent("granted");
  await tab.leave();
  assert.deepEqual([w.requests.length, stored(w)], [0, []]);

  const v = new World();
  const flagged = await open(v, { gpc: true, init: { gpc: "flag" } });
  await v.tick(2_000);
  await flagged.leave();
  assert.ok(v.requests.length && v.requests.every((r) => r.envelope.gpc === 1));

  const u = new World();
  const without = await open(u, { gpc: false });
  await u.tick(2_000);
  await without.leave();
  assert.ok(u.requests.length && u.requests.every((r) => !("gpc" in r.envelope)));
});

/** What a tag or init grants, as opposed to what the visitor said. */
const fates = { granted: true, required: false, pending: false, denied: false, Required: false, Granted: false, "": false, "granted ": false, no: false, null: false };
for (const [value, sends] of Object.entries(fates)) {
  for (const via of ["tag", "init"]) {
    test(`consent by ${via}: ${JSON.stringify(value)} ${sends ? "grants" : "does not grant"}`, async () => {
      const w = new World();
      const tab = await w.open(via === "tag" ? { tag: { consent: value } } : {});
      if (via === "init") tab.beacon.init({ consent: value === "null" ? null : value });
      tab.beacon.log("x");
      await w.tick(40_000);
      await tab.hide();
      await tab.leave();
      assert.equal(w.requests.length > 0, sends);
      assert.deepEqual(stored(w).includes("bcn:s"), sends);
    });
  }
}

test("consent() of something else is pending", async () => {
  const w = new World();
  const tab = await open(w);
  tab.beacon.consent("grantd");
  tab.beacon.log("x");
  await w.tick(40_000);
  await tab.leave();
  assert.equal(w.requests.length, 0);
});

test("a denial is remembered on the device, whatever the next page's tag says", async () => {
  const w = new World();
  const first = await open(w);
  first.beacon.consent("denied");
  await first.leave();
  const n = w.requests.length;
  for (const o of [{ init: { consent: "granted" } }, { init: {} }, { tag: { consent: "granted" } }, { tag: {} }]) {
    const tab = o.tag ? await w.open(o) : await open(w, o);
    tab.beacon.log("x");
    new tab.beacon.PendingPostBeacon(U).setData("raw");
    await w.tick(40_000);
    await tab.leave();
  }
  assert.deepEqual([w.requests.length, stored(w)], [n, ["bcn:c"]]);
  assert.equal(w.storage.data["bcn:c"], "denied");
  // "pending" does not lift it, "granted" does, and for the next page too.
  const last = await open(w);
  last.beacon.consent("pending");
  assert.equal(w.storage.data["bcn:c"], "denied");
  last.beacon.consent("granted");
  assert.equal("bcn:c" in w.storage.data, false);
  await w.tick(40_000);
  await last.leave();
  assert.ok(w.requests.length > n);
  const next = await open(w);
  const before = w.requests.length;
  await w.tick(40_000);
  await next.leave();
  assert.ok(w.requests.length > before);
});

test("a denial finds room in a full store", async () => {
  const w = new World();
  const [a, b] = [await open(w), await open(w)];
  await w.tick(1_000);
  w.storage.quota = Object.entries(w.storage.data).reduce((sum, [k, v]) => sum + k.length + v.length, 0);
  a.beacon.consent("denied");
  b.beacon.log("x");
  await w.tick(6_000);
  assert.deepEqual([stored(w), w.storage.data["bcn:c"]], [["bcn:c"], "denied"]);
  assert.ok(!w.items.some((i) => i.d.msg === "x"));
});

test("a denial holds for beacons of a page that has not called init yet", async () => {
  const w = new World();
  w.storage.data["bcn:c"] = "denied";
  const tab = await w.open();
  const b = new tab.beacon.PendingPostBeacon(U, { timeout: 1 });
  b.setData("x");
  await w.tick(100);
  await tab.leave();
  assert.deepEqual([b.pending, w.requests.length], [false, 0]);
});

test("a denial reaches the other tabs at once", async () => {
  const w = new World();
  const [a, b, c] = [await open(w), await open(w), await open(w, { fetchLater: true })];
  await w.tick(1_000);
  const raw = new c.beacon.PendingPostBeacon(U);
  raw.setData("x");
  b.beacon.log("kept");
  await idle();
  a.beacon.consent("denied");
  await w.tick(1);
  const n = w.requests.length;
  assert.deepEqual([raw.pending, c.later.length, stored(w)], [false, 0, ["bcn:c"]]);
  for (const tab of [b, c]) tab.beacon.log("y");
  await w.tick(60_000);
  for (const tab of [a, b, c]) await tab.leave();
  assert.deepEqual([w.requests.length, stored(w)], [n, ["bcn:c"]]);
});

test("what another tab grants does not lift the denial of this page", async () => {
  const w = new World();
  const [a, b] = [await open(w), await open(w)];
  a.beacon.consent("denied");
  await w.tick(1);
  a.beacon.consent("granted");
  await w.tick(1);
  const b2 = new b.beacon.PendingPostBeacon(U, { timeout: 1 });
  b2.setData("of the other tab");
  await w.tick(100);
  assert.equal(b2.pending, false);
  assert.ok(!w.requests.some((r) => r.body === "of the other tab"));
});

test("a page from the back/forward cache hears of a denial it has missed", async () => {
  const w = new World();
  const tab = await open(w);
  await w.tick(1_000);
  await tab.leave({ persisted: true });
  const n = w.requests.length;
  w.storage.data["bcn:c"] = "denied";
  await tab.restore();
  tab.beacon.log("x");
  await w.tick(40_000);
  await tab.leave();
  assert.equal(w.requests.length, n);
});

test("where nothing can be stored a denial holds for the page, and its return", async () => {
  const w = new World({ storage: null });
  const tab = await open(w);
  tab.beacon.consent("denied");
  await w.tick(40_000);
  await tab.leave({ persisted: true });
  await tab.restore();
  tab.beacon.log("x");
  await w.tick(40_000);
  await tab.leave();
  assert.equal(w.requests.length, 0);
});

test("init again, or a tag that runs again, does not take back what the page said of the visitor", async () => {
  const w = new World();
  const tab = await w.open({ tag: { consent: "required" } });
  tab.beacon.consent("granted");
  tab.run({ consent: "required" });
  tab.beacon.init({ consent: "required" });
  tab.beacon.log("x");
  await w.tick(6_000);
  assert.ok(w.items.some((i) => i.d.msg === "x"));
  tab.beacon.consent("pending");
  tab.run({ consent: "granted" });
  tab.beacon.log("y");
  await w.tick(40_000);
  assert.ok(!w.items.some((i) => i.d.msg === "y"));
});


test("a denial holds where markup stands in the way of the rest", async () => {
  const w = new World();
  const tab = await open(w, { fetchLater: true });
  new tab.beacon.PendingPostBeacon(U).setData("x");
  await w.tick(1_000);
  tab.doc.hasFocus = {}; // as <img name=hasFocus>
  tab.beacon.consent("denied");
  assert.deepEqual([stored(w), tab.later.length], [["bcn:c"], 0]);
  const errors = [];
  const note = (e) => errors.push(e);
  process.on("uncaughtException", note);
  await w.tick(100_000);
  process.off("uncaughtException", note);
  assert.deepEqual(errors, []);
});

test("what is to be sent while consent is pending goes when it is granted, all of it", async () => {
  const w = new World();
  const errors = [];
  const tab = await open(w, { init: { consent: "required", onerror: (e) => errors.push(e.reason) } });
  for (let i = 0; i < 40; i++) {
    const b = new tab.beacon.PendingPostBeacon(U);
    b.setData(`raw-${i}`);
    if (i % 2) b.sendNow();
  }
  tab.beacon.flush();
  await w.tick(1_000);
  assert.equal(w.requests.length, 0);
  tab.beacon.consent("granted");
  await w.tick(60_000);
  assert.deepEqual([w.arrived.filter((r) => !r.envelope).length, errors], [40, []]);
});
