// Whose a record is: several tabs, pages that sleep or stand still, clocks that do.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, fakeStorage, idle } from "./harness.mjs";
import { U, append, later, numbers, post, recorded, records, times, visit } from "./helpers.mjs";

const busy = (after) => (r) => (r.envelope ? {} : { status: 503, headers: after ? { "Retry-After": `${after}` } : {} });

test("B3: four tabs recover at once while each sees late what the others wrote: no twins", async () => {
  for (let seed = 1; seed < 9; seed++) {
    const w = new World({ seed, storage: fakeStorage({ lag: 250 }) });
    const one = await visit(w, { onLine: false });
    for (let i = 0; i < 15; i++) post(one.beacon, `r${i}`);
    await w.tick(1_000);
    await one.leave();
    const tabs = [];
    for (let i = 0; i < 4; i++) tabs.push(await visit(w, { onLine: false }));
    await w.tick(5_000);
    for (const tab of tabs) {
      await tab.online(true);
      await w.tick((seed - 1) * 10);
    }
    await w.tick(200_000);
    for (const tab of tabs) await tab.leave();
    await later(w);
    for (let i = 0; i < 15; i++) assert.equal(times(w, `r${i}`), 1, `seed ${seed}, record ${i}`);
  }
});

test("B3: what was taken over waits half a second, until all know whose it is", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const w = new World({ seed });
    const one = await visit(w, { onLine: false });
    for (let i = 0; i < 5; i++) post(one.beacon, `r${i}`);
    await one.leave();
    await visit(w);
    await w.tick(499);
    assert.equal(w.arrived.filter((r) => !r.envelope).length, 0);
    await w.tick(10_000);
    assert.equal(w.arrived.filter((r) => !r.envelope).length, 5);
  }
});

test("B3: nobody holds the lock for long", async () => {
  const w = new World();
  const one = await visit(w, { onLine: false });
  post(one.beacon, "x");
  await one.leave();
  const two = await visit(w);
  let held = 0;
  for (let t = 0; t < 10_000; t += 50) {
    await w.tick(50);
    held += 50 * two.locks;
  }
  assert.ok(held <= 1_000, `${held} ms`);
  assert.equal(two.locks, 0);
});

// How a page may stand still while its lease runs out. The other tab opens then,
// takes what it finds and sends it.
const pauses = {
  "the machine sleeps": async (w) => w.sleep(600_000),
  "the tab is suspended": async (w, tab) => {
    tab.frozen = true;
    await w.tick(200_000);
  },
  "the tab is frozen": async (w, tab) => {
    tab.doc.emit("freeze");
    tab.frozen = true;
    await w.tick(200_000);
  },
};

for (const [pause, stop] of Object.entries(pauses)) {
  test(`B5, B21: ${pause}, and another tab takes over: no twin of what waited to be tried again`, async () => {
    for (const then of ["timers", "leave", "online"]) {
      const w = new World();
      const one = await visit(w);
      await w.tick(1_000);
      w.respond = busy();
      post(one.beacon, "raw").sendNow();
      await idle();
      assert.equal(recorded(w, "raw").length, 1);
      w.respond = () => ({});
      await stop(w, one);
      one.frozen = true;
      const two = await visit(w);
      await w.tick(80_000);
      assert.equal(times(w, "raw"), 1, "taken over");
      one.frozen = false;
      if (then === "timers") await w.tick(6_000_000);
      if (then === "online") await one.online(true);
      await w.tick(10_000);
      await one.leave();
      await two.leave();
      await later(w);
      assert.equal(times(w, "raw"), 1, then);
    }
  });

  test(`B5, B21: ${pause}, and another tab takes over: no twin of what was held`, async () => {
    for (const then of ["timeout", "sendNow", "hide", "leave", "setData"]) {
      const w = new World();
      const one = await visit(w);
      const b = post(one.beacon, "raw", { timeout: 1_000_000, backgroundTimeout: 1e6 });
      const a = append(one.beacon, "first", { timeout: 1_000_000 });
      await w.tick(1_000);
      await stop(w, one); // what is frozen has sent it, and there is nothing to take over
      one.frozen = true;
      const two = await visit(w);
      await w.tick(80_000);
      assert.equal(times(w, "raw"), 1, "taken over");
      one.frozen = false;
      if (then === "setData") b.setData("raw");
      if (then === "timeout") await w.tick(2_000_000);
      if (then === "sendNow") b.sendNow();
      if (then === "hide") await one.hide();
      if (then !== "leave") await w.tick(1_000);
      a.appendData("second");
      await w.tick(1_000);
      await one.leave();
      await two.leave();
      await later(w);
      assert.deepEqual([times(w, "raw"), numbers(w, "a")], [1, [1, 2]], then);
      assert.equal(b.pending, false);
    }
  });
}

test("B5, B21: suspended while a record was about to be written again, and taken over: it is not written anew", async () => {
  for (const change of ["online", "setData"]) {
    const w = new World();
    const one = await visit(w);
    const b = post(one.beacon, "raw", { timeout: 1_000_000 });
    await w.tick(1_000);
    if (change === "online") await one.online(true);
    else b.setData("new");
    await idle();
    one.frozen = true;
    await w.tick(200_000);
    const two = await visit(w);
    await w.tick(80_000);
    assert.equal(times(w, "raw"), 1, "taken over");
    one.frozen = false;
    await w.tick(1_000);
    assert.deepEqual([recorded(w, "raw"), recorded(w, "new")], [[], []]);
    await one.leave();
    await two.leave();
    await later(w);
    assert.deepEqual([times(w, "raw"), times(w, "new")], [1, 0], change);
  }
});

test("B19: after a sleep the clock is right again", async () => {
  const w = new World();
  const one = await visit(w);
  await w.tick(1_000);
  w.sleep(10 * 3_600_000);
  await w.tick(31_000);
  append(one.beacon, 1).sendNow();
  await idle();
  const { envelope, t } = w.items.find((i) => i.envelope.k === "a");
  assert.ok(Math.abs(envelope.at - w.time) < 1_000 && Math.abs(t - w.time) < 1_000, `${w.time - envelope.at} ms late`);
});

test("B19: after a sleep a page that lives is not taken for dead", async () => {
  const w = new World();
  const one = await visit(w);
  await w.tick(1_000);
  w.sleep(10 * 3_600_000);
  await w.tick(31_000);
  w.respond = busy(3_000);
  post(one.beacon, "raw").sendNow();
  await w.tick(300);
  assert.equal(recorded(w, "raw").length, 1);
  const two = await visit(w);
  await w.tick(120_000);
  assert.equal(w.requests.filter((r) => r.body === "raw" && r.tab === two).length, 0);
});

test("B19: a timeout is over when the machine wakes", async () => {
  const w = new World();
  const tab = await visit(w);
  const b = post(tab.beacon, "x", { timeout: 3_600_000 });
  await w.tick(1_000);
  w.sleep(10 * 3_600_000);
  await w.tick(40_000);
  await tab.hide();
  await idle();
  assert.equal(b.pending, false);
  assert.equal(times(w, "x"), 1);
});

test("B19: a clock that is put back moves nothing", async () => {
  const w = new World();
  const tab = await visit(w);
  const a = append(tab.beacon, 1);
  await w.tick(1_000);
  const { Date } = tab.win;
  const real = Date.now;
  Date.now = () => real() - 5 * 3_600_000;
  await w.tick(60_000);
  a.appendData(2);
  a.sendNow();
  await idle();
  const [first, second] = w.items.filter((i) => i.envelope.k === "a");
  assert.ok(second.t - first.t > 60_000 && second.t - first.t < 63_000);
  Date.now = real;
});

test("B18: records say which form they have, and others are left alone", async () => {
  const t = 1_700_000_000_000;
  const old = JSON.stringify([t, "i", U, "POST", "old", false, null, "id", null, 0, 0]);
  const w = new World();
  w.storage.data["bcn:q:x:1"] = old;
  w.storage.data["bcn:q999:x:1"] = "of a script to come";
  const tab = await visit(w, { onLine: false });
  post(tab.beacon, "new");
  await w.tick(300);
  // Where all scripts before there were versions look for theirs.
  assert.doesNotMatch(recorded(w, '"new"')[0], /^bcn:q:/);
  await tab.leave();
  await later(w);
  assert.deepEqual([times(w, "new"), times(w, "old")], [1, 0]);
  assert.equal(w.storage.data["bcn:q999:x:1"], "of a script to come");
  assert.equal(records(w).filter((k) => w.storage.data[k].includes("new")).length, 0);
});

test("a page that clears the store, as at a logout, loses nothing of what it holds", async () => {
  const w = new World();
  const tab = await visit(w);
  post(tab.beacon, "raw");
  append(tab.beacon, 1);
  tab.beacon.log("x");
  await w.tick(1_000);
  for (const k of Object.keys(w.storage.data)) delete w.storage.data[k];
  await tab.leave();
  assert.deepEqual([times(w, "raw"), numbers(w, "a")], [1, [1]]);
  assert.ok(w.items.some((i) => i.d?.msg === "x"));
});

test("a lease of the future is none", async () => {
  const w = new World();
  w.storage.data["bcn:t:gone"] = `${w.time + 3_600_000}`;
  w.storage.data["bcn:q1:gone:i"] = JSON.stringify([w.time, "i", U, "POST", "left behind", false, null, null, "include", 0]);
  await later(w);
  assert.equal(times(w, "left behind"), 1);
});

test("a record that holds no text breaks nothing", async () => {
  const w = new World();
  const thrown = [];
  const note = (e) => thrown.push(e);
  process.on("unhandledRejection", note);
  for (const [i, body] of [{}, [1], 5, true].entries()) {
    w.storage.data[`bcn:q1:gone:${i}`] = JSON.stringify([w.time, `${i}`, U, "POST", body, false, "append", "append", "include", 0]);
  }
  await visit(w, {}, { token: "t" });
  await w.tick(200_000);
  process.off("unhandledRejection", note);
  assert.deepEqual(thrown, []);
});
