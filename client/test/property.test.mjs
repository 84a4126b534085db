// Whatever happens in whatever order: every item is delivered at least once, or
// it is known why not; nothing comes after deactivate; nothing throws.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, idle, rng } from "./harness.mjs";

const U = "https://example.com/_pb";
const runs = Number(process.env.RUNS || 300);

async function run(seed) {
  const random = rng(seed);
  const pick = (n) => Math.floor(random() * n);
  const w = new World({ seed });
  const dropped = [];
  const fetchLater = random() < 0.5;
  const stores = random() < 0.8; // else init is not called, and nothing makes up for a failure at the end
  let bad = 0; // share of requests that fail
  w.respond = (r) => {
    const x = random();
    if (r.kind === "beacon") return { refused: x < bad / 2 };
    if (x < bad / 3) return { status: [408, 429, 500, 503][pick(4)], headers: random() < 0.3 ? { "Retry-After": `${pick(100)}` } : {} };
    if (x < bad * 0.66) return { rejected: true, arrived: !!r.envelope && random() < 0.5 };
    if (x < bad * 0.7) return { status: 400 };
    return { status: 204, delay: random() < 0.3 ? pick(20_000) : 0 };
  };
  const trace = [];
  const made = []; // {id, b, raw, dead, allowedLoss}
  let tab;
  let beacons;
  const open = async () => {
    tab = await w.open({ fetchLater, quota: () => random() < 0.1, locks: random() < 0.8 });
    if (stores) tab.beacon.init({ onerror });
    beacons = [];
  };
  const onerror = (e) => dropped.push(e.reason);
  await open();

  let n = 0;
  const actions = {
    append() {
      const key = `k${++n}`;
      const b = new tab.beacon.AppendableBeacon(U, { key, onerror, ...options() });
      const x = { kind: "append", key, b, count: 0 };
      beacons.push(x);
      made.push(x);
      actions.add();
    },
    replace() {
      const key = `k${++n}`;
      const b = new tab.beacon.ReplaceableBeacon(U, { key, onerror, ...options() });
      const x = { kind: "replace", key, b, count: 0 };
      beacons.push(x);
      made.push(x);
      actions.add();
    },
    raw() {
      const body = `r${++n}`;
      const b = new tab.beacon.PendingPostBeacon(U, { onerror, ...options() });
      b.setData(body);
      const x = { kind: "raw", key: body, b };
      beacons.push(x);
      made.push(x);
    },
    add() {
      const x = beacons[pick(beacons.length)];
      if (!x || x.dead || x.kind === "raw") return;
      x.count++;
      if (x.kind === "append") x.b.appendData(random() < 0.05 ? "é".repeat(pick(30_000)) : x.count);
      else x.b.replaceData(x.count);
    },
    send() {
      beacons[pick(beacons.length)]?.b.sendNow();
    },
    change() {
      const b = beacons[pick(beacons.length)]?.b;
      if (!b) return;
      if (random() < 0.5) b.timeout = pick(3_000) - 500;
      else b.backgroundTimeout = pick(3_000) - 500;
    },
    deactivate() {
      const x = beacons[pick(beacons.length)];
      if (!x || x.dead || random() < 0.5) return;
      x.wasPending = x.b.pending;
      x.b.deactivate();
      x.dead = true;
      x.after = w.requests.length;
      assert.equal(x.b.pending, false);
    },
    tick: () => w.tick(pick(5_000)),
    long: () => w.tick(pick(100_000)),
    hide: () => tab.hide(),
    show: () => tab.show(),
    freeze() {
      tab.doc.emit("freeze");
    },
    offline: () => tab.online(false),
    online: () => tab.online(true),
    worse() {
      bad = random() * 0.8;
    },
    better() {
      bad = 0;
    },
    async cache() {
      await tab.leave({ persisted: true });
      await w.tick(pick(100_000));
      await tab.restore();
    },
    async leave() {
      await tab.leave();
      await open();
    },
    async crash() {
      await w.tick(300); // what is younger than that is not in the store
      tab.crash();
      await open();
    },
    later() {
      const e = tab.later[pick(tab.later.length)];
      if (e && tab.nav.onLine) e.fire();
    },
  };
  const options = () => ({
    ...(random() < 0.3 && { timeout: pick(5_000) }),
    ...(random() < 0.4 && { backgroundTimeout: pick(5_000) - 1_000 }),
  });
  const names = Object.keys(actions).filter((name) => stores || !["crash", "offline", "worse"].includes(name));
  for (let i = 0; i < 40; i++) {
    const name = names[pick(names.length)];
    trace.push(name);
    await actions[name]();
    if (random() < 0.5) await idle();
  }
  // In the end all is well again, and time passes.
  bad = 0;
  await tab.online(true);
  await tab.show();
  await w.tick(4_000_000);
  await tab.leave();
  if (stores) {
    tab = await w.open({ fetchLater });
    tab.beacon.init({ onerror });
    await w.tick(200_000);
    await tab.leave();
  }

  const arrived = new Map();
  for (const i of w.items) arrived.set(i.id, (arrived.get(i.id) || 0) + 1);
  const why = JSON.stringify({ seed, fetchLater, stores, trace, dropped });
  for (const x of made) {
    const mine = [...arrived.keys()].filter((id) => id.startsWith(`${x.key}:`)).map((id) => +id.slice(x.key.length + 1));
    if (x.kind === "append" && !x.dead) {
      for (let i = 1; i <= x.count; i++) assert.ok(mine.includes(i) || dropped.length, `lost ${x.key}:${i} ${why}`);
    }
    if (x.kind === "replace" && !x.dead && x.count) assert.ok(mine.includes(x.count) || dropped.length, `lost ${x.key}:${x.count} ${why}`);
    if (x.kind === "raw") {
      const times = w.arrived.filter((r) => r.body === x.key).length;
      assert.ok(times || dropped.length || x.dead, `lost ${x.key} ${why}`);
      assert.ok(times < 2, `${times} times ${x.key} ${why}`);
    }
    if (x.dead && x.wasPending && x.kind === "raw") {
      assert.ok(!w.requests.some((r) => r.body === x.key), `sent although deactivated ${x.key} ${why}`);
    }
    // What was sent before may be repeated, but its newest part was not sent.
    if (x.dead && x.wasPending && x.kind !== "raw") assert.ok(!mine.includes(x.count), `sent although deactivated ${x.key}:${x.count} ${why}`);
  }
  for (const r of w.requests) if (r.kind === "beacon" || r.init.keepalive) assert.ok(new TextEncoder().encode(`${r.body}`).length <= 60_000);
}

test(`${runs} random lives`, async () => {
  const thrown = [];
  const note = (e) => thrown.push(e);
  process.on("unhandledRejection", note);
  process.on("uncaughtException", note);
  const first = Number(process.env.SEED || 1);
  for (let seed = first; seed < first + runs; seed++) await run(seed);
  process.off("unhandledRejection", note);
  process.off("uncaughtException", note);
  assert.deepEqual(thrown, []);
});
