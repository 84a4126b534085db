// A store that is full, or that other pages fill.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, idle } from "./harness.mjs";
import { append, error, later, numbers, post, recorded, records, times, visit } from "./helpers.mjs";

/** From now on nothing more can be written. */
const fill = (w) => {
  w.storage.quota = Object.entries(w.storage.data).reduce((n, [k, v]) => n + k.length + v.length, 0) + 30;
};

const failing = (w) => (w.respond = (r) => (r.envelope ? {} : { status: 503 }));
const well = (w) => (w.respond = () => ({}));

test("B4: what could not be written gets its last chance at the end", async () => {
  const w = new World();
  const tab = await visit(w);
  await w.tick(1_000);
  fill(w);
  failing(w);
  post(tab.beacon, "x").sendNow();
  await idle();
  assert.deepEqual(recorded(w, '"x"'), []);
  well(w);
  await tab.leave();
  await later(w);
  assert.equal(times(w, "x"), 1);
});

test("B4: and is not lost in the back/forward cache", async () => {
  for (const still of [false, true]) {
    const w = new World();
    const errors = [];
    const tab = await visit(w);
    await w.tick(1_000);
    fill(w);
    failing(w);
    post(tab.beacon, "x", error(errors)).sendNow();
    await idle();
    if (!still) well(w);
    await tab.leave({ persisted: true });
    well(w);
    await w.tick(1_000);
    await tab.restore();
    await w.tick(60_000);
    assert.equal(times(w, "x") + errors.length, 1, `delivered or told: ${errors}`);
    if (!still) assert.equal(times(w, "x"), 1);
  }
});

test("B4: a record that was written and cannot be renewed", async () => {
  const w = new World();
  const tab = await visit(w);
  const a = append(tab.beacon, "first");
  const p = post(tab.beacon, "small");
  await w.tick(1_000);
  assert.equal(recorded(w, "first").length, 1);
  fill(w);
  a.appendData("second".repeat(100));
  p.setData("large".repeat(100));
  await w.tick(1_000);
  failing(w);
  p.sendNow();
  await idle();
  well(w);
  await tab.leave();
  await later(w);
  assert.deepEqual([numbers(w, "a"), times(w, "large".repeat(100)), times(w, "small")], [[1, 2], 1, 0]);
});

test("B4: full and offline at the end, it is told or tried", async () => {
  for (const data of ["x", new Blob(["x"])]) {
    const w = new World();
    const errors = [];
    const tab = await visit(w);
    await w.tick(1_000);
    fill(w);
    await tab.online(false);
    post(tab.beacon, data, error(errors)).sendNow();
    await tab.leave();
    assert.equal(errors.length + w.requests.filter((r) => !r.envelope).length, 1, `${errors}`);
  }
});

test("B13: a page pushes out its own records and those of nobody, not those of a page that lives", async () => {
  const w = new World();
  const one = await visit(w);
  w.respond = (r) => (r.envelope ? {} : { status: 503, headers: { "Retry-After": "500" } });
  for (let i = 0; i < 5; i++) post(one.beacon, `one-${i}`).sendNow();
  await w.tick(1_000);
  const theirs = recorded(w, "one-");
  assert.equal(theirs.length, 5);
  const two = await visit(w);
  for (let i = 10; i < 40; i++) {
    post(two.beacon, `two-${i}`, { timeout: 1e6 });
    await w.tick(300);
  }
  assert.deepEqual(recorded(w, "one-"), theirs);
  assert.ok(records(w).length <= 20, `${records(w).length}`);
  assert.ok(recorded(w, "two-").length >= 13);
  assert.equal(recorded(w, "two-39").length, 1, "the newest");
  well(w);
  await two.leave();
  await one.leave();
  await w.tick(500_000); // as the server asked
  await later(w);
  for (let i = 0; i < 5; i++) assert.equal(times(w, `one-${i}`), 1, `one-${i}`);
  for (let i = 10; i < 40; i++) assert.equal(times(w, `two-${i}`), 1, `two-${i}`);
});

test("B13: records of pages that are gone make room", async () => {
  const w = new World();
  const one = await visit(w, { onLine: false });
  for (let i = 10; i < 30; i++) post(one.beacon, `one-${i}`);
  await one.leave();
  assert.ok(recorded(w, "one-").length >= 18, `${records(w).length}`);
  const two = await visit(w, { onLine: false });
  post(two.beacon, "two");
  await w.tick(300);
  assert.equal(recorded(w, "two").length, 1);
  assert.ok(records(w).length <= 20);
});

test("B13: a page without room has no record, and does not take it for sent", async () => {
  const w = new World();
  w.respond = (r) => (r.envelope ? {} : { status: 503 });
  const one = await visit(w);
  for (let i = 10; i < 30; i++) {
    post(one.beacon, `one-${i}`, { timeout: 1e6 });
    await w.tick(260);
  }
  const theirs = recorded(w, "one-");
  const errors = [];
  const two = await visit(w);
  const x = post(two.beacon, new URLSearchParams("x=1"), error(errors));
  x.sendNow();
  await w.tick(300);
  assert.deepEqual(recorded(w, "one-"), theirs);
  well(w);
  await two.leave({ persisted: true });
  await two.restore();
  await w.tick(60_000);
  assert.deepEqual([w.arrived.filter((r) => `${r.body}` === "x=1").length, errors], [1, []]);
});

test("B13: what pushed itself out is still sent", async () => {
  const w = new World();
  w.respond = (r) => (r.envelope ? {} : { status: 503, headers: { "Retry-After": "20" } });
  const errors = [];
  const tab = await visit(w);
  post(tab.beacon, "first", error(errors)).sendNow();
  await w.tick(300);
  assert.equal(recorded(w, "first").length, 1);
  for (let i = 0; i < 20; i++) {
    append(tab.beacon, i, { key: `k${i}` });
    await w.tick(300);
  }
  assert.equal(recorded(w, "first").length, 0);
  well(w);
  await w.tick(60_000);
  assert.deepEqual([times(w, "first"), errors], [1, []]);
});

test("B17: values of the site are not read", async () => {
  const w = new World();
  w.storage.data.cart = "x".repeat(5e6);
  const tab = await visit(w);
  append(tab.beacon, 1);
  await w.tick(300);
  await tab.hide();
  await tab.show();
  post(tab.beacon, "x");
  await tab.leave();
  assert.ok(w.storage.read.size && !w.storage.read.has("cart"));
});
