// With fetchLater a registration costs much more than an item: while an envelope
// grows it is renewed now and then, and what came in between is not lost.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, idle } from "./harness.mjs";
import { U, append, later, numbers, post, replace, visit } from "./helpers.mjs";

const open = (w, o) => w.open({ fetchLater: true, ...o });
const registered = (tab) => tab.later.map((e) => JSON.parse(e.init.body).ev.map((item) => item.n));

test("the first item is registered at once, the next ones every 100 ms", async () => {
  const w = new World();
  const tab = await open(w);
  const a = append(tab.beacon, 0);
  await idle();
  assert.deepEqual(registered(tab), [[1]]);
  for (let i = 1; i < 50; i++) {
    await w.tick(10);
    a.appendData(i);
    await idle();
  }
  assert.ok(tab.registrations <= 7, `${tab.registrations} registrations in half a second`);
  assert.ok(tab.registrations >= 4, `${tab.registrations} registrations in half a second`);
  await w.tick(100);
  assert.deepEqual(registered(tab), [Array.from({ length: 50 }, (_, i) => i + 1)]);
  const n = tab.registrations;
  await w.tick(1_000);
  assert.equal(tab.registrations, n, "nothing came, nothing is renewed");
  a.appendData("later");
  await idle();
  assert.equal(tab.registrations, n + 1, "after a pause at once again");
});

test("raw beacons are registered at once always: they cannot be carried on", async () => {
  const w = new World();
  const tab = await open(w);
  const b = post(tab.beacon, "1");
  await idle();
  await w.tick(10);
  b.setData("2");
  await idle();
  assert.deepEqual(tab.later.map((e) => e.init.body), ["2"]);
});

for (const make of [append, replace]) {
  const again = (b, data) => (b.appendData ? b.appendData(data) : b.replaceData(data));
  const key = make === append ? "a" : "r";

  test(`what is to ${make.name} has grown since the browser took it: what came after goes on in a new envelope`, async () => {
    for (const then of ["timers", "hide", "leave", "sendNow", "add"]) {
      for (const o of [open, (w) => visit(w, { fetchLater: true })]) {
        const w = new World();
        const tab = await o(w);
        const b = make(tab.beacon, "first");
        await w.tick(1_000);
        again(b, "second");
        await idle();
        await w.tick(10);
        again(b, "third");
        await idle();
        assert.equal(tab.later.filter((e) => e.init.body.includes("third")).length, 0, "not yet");
        for (const e of [...tab.later]) e.fire();
        assert.equal(b.pending, true, "there is something that was not sent");
        if (then === "timers") await w.tick(100);
        if (then === "hide") await tab.hide();
        if (then === "sendNow") b.sendNow();
        if (then === "add") again(b, "fourth");
        await w.tick(1_000);
        if (then === "sendNow") assert.equal(b.pending, false);
        await tab.leave();
        const want = make === append ? [1, 2, 3] : [2, 3];
        const got = numbers(w, key);
        assert.deepEqual(got, then === "add" ? (make === append ? [1, 2, 3, 4] : [2, 4]) : want, then);
        const mine = w.items.filter((i) => i.envelope.k === key);
        const [with2] = mine.filter((i) => i.n === 2);
        const [with3] = mine.filter((i) => i.n === (then === "add" ? 4 : 3));
        assert.notEqual(with2.envelope.b, with3.envelope.b, "an envelope of its own");
        if (make === append) assert.equal(mine.filter((i) => i.n === 3).at(-1).d, "third");
      }
    }
  });

  test(`${make.name}: what the browser sent whole is not pending`, async () => {
    const w = new World();
    const tab = await open(w);
    const b = make(tab.beacon, "first");
    await w.tick(10);
    again(b, "second");
    await w.tick(200);
    for (const e of [...tab.later]) e.fire();
    assert.equal(b.pending, false);
    await w.tick(1_000);
    await tab.leave();
    assert.equal(w.requests.length, 1);
  });

  test(`${make.name}: what ends before it is carried on is not sent`, async () => {
    for (const how of ["deactivate", "denied"]) {
      const w = new World();
      const tab = await visit(w, { fetchLater: true });
      const b = make(tab.beacon, "first");
      await w.tick(10);
      again(b, "second");
      await idle();
      for (const e of [...tab.later]) e.fire();
      if (how === "deactivate") b.deactivate();
      else tab.beacon.consent("denied");
      await w.tick(1_000);
      await tab.leave();
      await later(w);
      assert.deepEqual(numbers(w, key), [1], how);
    }
  });

  test(`${make.name}: within the 100 ms the page is hidden, frozen or ends`, async () => {
    for (const how of ["hide", "leave", "cache", "freeze"]) {
      const w = new World();
      const tab = await open(w);
      const b = make(tab.beacon, "first");
      await w.tick(10);
      again(b, "second");
      if (how === "cache") await tab.leave({ persisted: true });
      else if (how === "freeze") tab.doc.emit("freeze");
      else await tab[how]();
      if (how === "hide" || how === "freeze") tab.crash();
      await idle();
      assert.ok(numbers(w, key).includes(2), how);
    }
  });
}

test("the timeout of an envelope that is carried on goes on", async () => {
  const w = new World();
  const tab = await open(w);
  const a = append(tab.beacon, 1, { timeout: 1_000 });
  await w.tick(500);
  a.appendData(2);
  await w.tick(50);
  a.appendData(3);
  await idle();
  for (const e of [...tab.later]) e.fire();
  await w.tick(1_100);
  assert.equal(a.pending, false);
  assert.deepEqual(numbers(w, "a"), [1, 2, 3]);
});

test("a large envelope is split and carried on with the same numbers", async () => {
  const w = new World();
  const tab = await open(w);
  const a = append(tab.beacon, "x");
  for (let i = 0; i < 12; i++) {
    a.appendData("x".repeat(20_000));
    await w.tick(10);
    if (i === 7) for (const e of [...tab.later]) e.fire();
  }
  await tab.leave();
  assert.deepEqual(numbers(w, "a"), Array.from({ length: 13 }, (_, i) => i + 1));
  for (const r of w.requests) assert.ok(Buffer.byteLength(r.body) <= 60_000);
  assert.equal(w.requests[0].url, U);
});
