// Pages that are hidden and go on: other tabs, other apps, tabs opened in the
// background.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, idle } from "./harness.mjs";
import { U, append, error, later, numbers, post, replace, times, visit } from "./helpers.mjs";

const engines = [{}, { fetchLater: true }];

test("W1: a hidden page has sent all, so that its browser may be killed", async () => {
  for (const engine of engines) {
    const w = new World();
    const tab = await visit(w, engine);
    post(tab.beacon, "x");
    post(tab.beacon, "y", { backgroundTimeout: -5 });
    post(tab.beacon, "z", { backgroundTimeout: 0, timeout: 1e6 });
    new tab.beacon.PendingGetBeacon("/g");
    append(tab.beacon, 1);
    replace(tab.beacon, 1);
    tab.beacon.log("hello");
    await w.tick(1_000);
    await tab.hide();
    await w.tick(1_000);
    tab.kill();
    const why = JSON.stringify(engine);
    assert.deepEqual(["x", "y", "z", "/g"].map((what) => times(w, what)), [1, 1, 1, 1], why);
    assert.deepEqual([numbers(w, "a"), numbers(w, "r")], [[1], [1]], why);
    assert.ok(w.items.some((i) => i.d.msg === "hello"), why);
    await later(w, engine);
    assert.deepEqual(["x", "y", "z", "/g"].map((what) => times(w, what)), [1, 1, 1, 1], `${why}: no twins`);
  }
});

test("W1: what is given to a hidden page is sent at once, what has a backgroundTimeout is held", async () => {
  for (const engine of engines) {
    const w = new World();
    const tab = await visit(w, engine);
    await tab.hide();
    const x = post(tab.beacon, "x");
    const held = post(tab.beacon, "held", { backgroundTimeout: 5_000 });
    append(tab.beacon, 1);
    await idle();
    assert.deepEqual([x.pending, held.pending], [false, true]);
    assert.equal(times(w, "x"), 1);
    assert.deepEqual(numbers(w, "a"), [1]);
    tab.kill();
  }
});

test("C3: a page that was never visible holds what it is given, and the last counts", async () => {
  for (const engine of engines) {
    for (const how of ["leave", "show"]) {
      const w = new World();
      const tab = await w.open({ ...engine, hidden: true });
      const p = post(tab.beacon, "1", { backgroundTimeout: 0 });
      const q = post(tab.beacon, "a");
      const g = new tab.beacon.PendingGetBeacon("/1");
      const now = post(tab.beacon, "now");
      await w.tick(1_000);
      now.sendNow();
      p.setData("2");
      q.setData("b");
      g.setURL("/2");
      await w.tick(1_000);
      const why = JSON.stringify({ engine, how });
      assert.deepEqual(w.requests.map((r) => r.body), ["now"], why);
      if (how === "show") {
        await tab.show();
        p.setData("3");
        assert.equal(w.requests.length, 1, why);
      }
      await tab.leave();
      assert.deepEqual(w.arrived.map((r) => r.body ?? r.url.slice(-2)).sort(), [how === "show" ? "3" : "2", "b", "/2", "now"].sort(), why);
    }
  }
});

test("C3: killed before it was shown, the next visit has it", async () => {
  for (const engine of engines) {
    const w = new World();
    const tab = await visit(w, { ...engine, hidden: true });
    const p = post(tab.beacon, "1", { idParam: "id" });
    append(tab.beacon, 1);
    await w.tick(1_000);
    p.setData("2");
    await w.tick(1_000);
    tab.kill();
    await later(w, engine);
    await later(w, engine);
    assert.deepEqual([times(w, "1"), times(w, "2"), numbers(w, "a")], [0, 1, [1]]);
  }
});

test("C3: timeout counts there too", async () => {
  const w = new World();
  const tab = await w.open({ hidden: true });
  post(tab.beacon, "x", { timeout: 1_000 });
  await w.tick(999);
  assert.equal(times(w, "x"), 0);
  await w.tick(1);
  assert.equal(times(w, "x"), 1);
});

test("C4: backgroundTimeout given to a hidden page counts from the next time it is hidden", async () => {
  for (const engine of engines) {
    const w = new World();
    const tab = await w.open(engine);
    const early = post(tab.beacon, "early", { backgroundTimeout: 1_000_000 });
    await tab.hide();
    early.backgroundTimeout = 1_000;
    const late = post(tab.beacon, "late", { backgroundTimeout: 1_000 });
    await w.tick(60_000);
    assert.deepEqual([early.pending, late.pending], [true, true], "held");
    await tab.show();
    await w.tick(60_000);
    await tab.hide();
    await w.tick(999);
    assert.deepEqual([early.pending, late.pending], [true, true], "not yet");
    await w.tick(1);
    assert.deepEqual([early.pending, late.pending], [false, false]);
    assert.deepEqual([times(w, "early"), times(w, "late")], [1, 1]);
  }
});

test("B11: what is too large for the end of a page is sent while it is only hidden", async () => {
  for (const [data, options] of [["x".repeat(60_001)], [new Blob(["x".repeat(70_000)])], ["x".repeat(60_001), { timeout: 1e6 }]]) {
    const w = new World();
    const errors = [];
    const tab = await w.open();
    post(tab.beacon, data, { ...options, ...error(errors) });
    await tab.hide();
    await w.tick(1_000);
    assert.deepEqual(errors, []);
    assert.deepEqual(w.arrived.map((r) => [r.kind, !!r.init.keepalive]), [["fetch", false]]);
  }
});

test("B10: document.open() takes all listeners away, and the heartbeat brings them back", async () => {
  for (const how of ["hide", "leave", "online"]) {
    const w = new World();
    const tab = await visit(w);
    await w.tick(1_000);
    post(tab.beacon, "x");
    append(tab.beacon, 1);
    if (how === "online") {
      await tab.online(false);
      post(tab.beacon, "waits").sendNow();
    }
    tab.reopen();
    await w.tick(35_000);
    assert.equal(times(w, "x"), 0);
    await tab[how](true);
    await w.tick(10_000);
    if (how === "online") assert.equal(times(w, "waits"), 1);
    else assert.deepEqual([times(w, "x"), numbers(w, "a")], [1, [1]], how);
  }
});

test("B10: a beacon that is made then is enough too", async () => {
  const w = new World();
  const tab = await w.open();
  post(tab.beacon, "x");
  tab.reopen();
  append(tab.beacon, 1);
  await tab.leave();
  assert.deepEqual([times(w, "x"), numbers(w, "a")], [1, [1]]);
});

test("onHidden: store and a browser that holds it too: no twin", async () => {
  for (const how of ["leave", "crash"]) {
    const w = new World();
    const tab = await visit(w, { fetchLater: true });
    const b = post(tab.beacon, "x", { onHidden: "store" });
    await w.tick(1_000);
    await tab.hide();
    assert.equal(b.pending, true);
    await w.tick(1_000);
    await tab[how]();
    await later(w);
    assert.equal(times(w, "x"), 1, how);
  }
});

test("B10: listening again is not listening twice", async () => {
  const w = new World();
  const tab = await visit(w);
  await w.tick(600_000);
  const n = w.requests.length;
  post(tab.beacon, "x");
  await tab.hide();
  assert.equal(w.requests.slice(n).filter((r) => r.body === "x").length, 1);
  assert.ok(w.requests.slice(n).filter((r) => r.envelope).length <= 2, "one of the log, one of the page view");
  assert.equal(U, w.requests.at(-1).url);
});

test("a page that nobody saw: series go at once, and what has no ids waits for the next visit, once", async () => {
  const w = new World();
  const tab = await visit(w, { hidden: true });
  append(tab.beacon, 1);
  post(tab.beacon, "raw");
  await w.tick(1_000);
  assert.deepEqual([numbers(w, "a"), times(w, "raw")], [[1], 0]);
  append(tab.beacon, 2, { key: "b" });
  await idle();
  assert.deepEqual(numbers(w, "b"), [1]);
  await tab.leave();
  assert.equal(times(w, "raw"), 0, "Firefox would lose it");
  await later(w);
  assert.equal(times(w, "raw"), 1);
  // Without a store this is its only chance.
  const v = new World();
  const other = await v.open({ hidden: true });
  post(other.beacon, "raw");
  await v.tick(1_000);
  await other.leave();
  assert.equal(times(v, "raw"), 1);
});

test("C7: what a hidden page sent and is rejected is not sent again without ids: its window may be closing", async () => {
  const w = new World();
  const errors = [];
  const tab = await visit(w);
  post(tab.beacon, "raw", { onerror: (e) => errors.push(e.reason) });
  append(tab.beacon, 1);
  await w.tick(1_000);
  w.respond = () => ({ rejected: true, arrived: true });
  await tab.hide();
  w.respond = () => ({});
  await tab.leave();
  await later(w);
  assert.deepEqual([times(w, "raw"), numbers(w, "a"), errors], [1, [1], ["attempts"]]);
});

test("W1: a page that nobody has seen takes over what can be sent again, and leaves the rest to one that is seen", async () => {
  const w = new World();
  const one = await visit(w, { onLine: false });
  post(one.beacon, "raw");
  append(one.beacon, { n: 1 }, { key: "ids" });
  await w.tick(1_000);
  await one.leave();
  const two = await visit(w, { hidden: true });
  await w.tick(10_000);
  assert.deepEqual([times(w, "raw"), numbers(w, "ids")], [0, [1]]);
  await two.show();
  await w.tick(40_000);
  assert.equal(times(w, "raw"), 1);
  await two.leave();
});
