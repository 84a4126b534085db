// Whatever happens in whatever order, in one tab or two: every item is delivered at
// least once and what has no ids at most once, or it is known why not; nothing comes
// after deactivate or a denial; nothing throws.
//
//	RUNS=300 SEED=1 WITHOUT=deny,sleep TRACE=1
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, fakeStorage, idle, rng } from "./harness.mjs";

const U = "https://example.com/_pb";
const runs = Number(process.env.RUNS || 300);
const without = (process.env.WITHOUT || "").split(",");
const size = (s) => new TextEncoder().encode(`${s}`).length;

async function run(seed) {
  const random = rng(seed);
  const pick = (n) => Math.floor(random() * n);
  const of = (list) => list[pick(list.length)];
  const two = random() < 0.4;
  const fetchLater = random() < 0.5;
  const stores = random() < 0.8; // else init is not called, and nothing makes up for a failure at the end
  const w = new World({ seed, storage: fakeStorage({ lag: two && random() < 0.5 ? pick(250) : 0 }) });
  const engine = { fetchLater, quota: () => random() < 0.1, locks: two || random() < 0.8, shared: random() < 0.5, keepalive: random() < 0.95 };
  let bad = 0; // share of requests that fail
  let worker = false; // a service worker answers, which only an envelope can tell
  let fullEver = false;
  let denied = false;
  w.respond = (r) => {
    const x = random();
    if (r.kind === "beacon") return { refused: x < bad / 2 };
    if (worker && r.envelope) return of([{ type: "default", url: "" }, { url: "https://example.com/offline" }].map((a) => ({ ...a, status: 200, arrived: false })));
    if (x < bad / 3) return { status: of([408, 429, 500, 503]), headers: random() < 0.3 ? { "Retry-After": `${pick(100)}` } : {} };
    if (x < bad * 0.66) return { rejected: true, arrived: !!r.envelope && random() < 0.5 };
    if (x < bad * 0.7) return { status: 400 };
    return { status: 204, delay: random() < 0.3 ? pick(20_000) : 0 };
  };
  const trace = [];
  const made = [];
  let told = 0; // failures of records, which know no beacon
  const tabs = [];
  let tab;
  let n = 0;
  const why = () => JSON.stringify({ seed, two, lag: w.storage.lag, stores, ...engine, told, trace });

  const open = async (i) => {
    // Who quits, crashes or ends while nobody may ask makes room for another.
    tab = tabs[i] = await w.open({ ...engine, hidden: random() < 0.1 });
    tab.list = [];
    tab.opened = w.requests.length;
    if (stores) tab.beacon.init({ onerror: () => told++ });
    for (const url of [U, "/get"]) new tab.beacon.PendingGetBeacon(url).deactivate(); // a page recovers what goes where it sends
  };
  const make = (kind, C, fill) => {
    const key = `${kind}${++n}`;
    const x = { kind, key, tab, count: 0, sent: new Set() };
    const onerror = (e) => {
      (x.why ||= []).push(e.reason);
      if (random() < 0.3 && n < 80) {
        const before = tab;
        tab = x.tab;
        if (tab.alive && !denied) make("raw", "PendingPostBeacon", (b, key) => b.setData(key));
        tab = before;
      }
    };
    x.b = new tab.beacon[C](U, {
      key,
      onerror,
      ...(kind === "id" && { idParam: "id" }),
      ...(random() < 0.3 && { timeout: pick(5_000) }),
      ...(random() < 0.4 && { backgroundTimeout: pick(5_000) - 1_000 }),
      ...(random() < 0.1 && { onHidden: "store" }),
      ...(random() < 0.2 && { credentials: "same-origin" }),
    });
    x.dead = denied;
    made.push(x);
    tab.list.push(x);
    fill?.(x.b, key);
    if (!fill) add(x);
    return x;
  };
  const add = (x) => {
    if (x.dead || !x.b.appendData && !x.b.replaceData) return;
    x.count++;
    if (x.kind === "replace") x.b.replaceData(x.count);
    else x.b.appendData(random() < 0.05 ? "é".repeat(pick(30_000)) : x.count);
  };
  /** What the rules of consent, a full store or a store of none let go. */
  const excuse = (t) => t.list.forEach((x) => (x.excused = true));
  const unsaved = (t) => {
    for (const x of t.list) {
      const records = Object.entries(w.storage.data).filter(([k]) => k.startsWith("bcn:q"));
      const room = !fullEver && records.length < 17 && records.reduce((sum, [, v]) => sum + size(v), 0) < 130_000;
      if (!room || !stores) x.excused = true;
    }
  };
  const gone = async (how) => {
    const i = tabs.indexOf(tab);
    if (!stores || fullEver || denied) unsaved(tab);
    const { length } = tab.list;
    await how(tab);
    if (fullEver) for (const x of tab.list.slice(length)) x.excused = true; // made in onerror of a page that ends
    await open(i);
  };
  const actions = {
    append: () => void make("append", "AppendableBeacon"),
    replace: () => void make("replace", "ReplaceableBeacon"),
    raw: () => void make("raw", "PendingPostBeacon", (b, key) => b.setData(key)),
    id: () => void make("id", "PendingPostBeacon", (b, key) => b.setData(key)),
    get: () => void make("get", "PendingGetBeacon", (b, key) => b.setURL(`/get?${key}`)),
    add: () => tab.list.length && add(of(tab.list)),
    send: () => of(tab.list)?.b.sendNow(),
    change() {
      const b = of(tab.list)?.b;
      if (!b) return;
      if (random() < 0.5) b.timeout = pick(3_000) - 500;
      else b.backgroundTimeout = pick(3_000) - 500;
    },
    deactivate() {
      const x = of(tab.list);
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
    async freeze() {
      await tab.hide();
      tab.doc.emit("freeze");
      tab.frozen = true;
      await w.tick(pick(200_000));
      tab.frozen = false;
      tab.doc.emit("resume");
    },
    async suspend() {
      tab.frozen = true;
      await w.tick(pick(200_000));
      tab.frozen = false;
    },
    sleep: () => w.sleep(pick(4 * 3_600_000)),
    offline: () => tab.online(false),
    online: () => tab.online(true),
    worse: () => void (bad = random() * 0.8),
    better: () => void (bad = 0, worker = false),
    worker: () => void (worker = random() < 0.5),
    full() {
      fullEver = true;
      w.storage.quota = Object.entries(w.storage.data).reduce((sum, [k, v]) => sum + k.length + v.length, 0) + pick(500);
    },
    room: () => void (w.storage.quota = Infinity),
    async reopen() {
      tab.reopen();
      await w.tick(31_000);
    },
    async cache() {
      await tab.leave({ persisted: true });
      await w.tick(pick(100_000));
      await tab.restore();
    },
    leave: () => gone((t) => t.leave({ torn: random() < 0.3 })),
    close: () => gone(async (t) => {
      await t.hide(); // first, as when a tab of Firefox is closed
      await t.leave({ torn: random() < 0.3 });
    }),
    async crash() {
      await w.tick(300); // what is younger than that is not in the store
      unsaved(tab);
      if (fullEver) for (const x of made) x.excused = true; // what it had taken over as well
      await gone((t) => t.crash());
    },
    shutdown: () => gone((t) => t.shutdown()),
    quit: () => gone((t) => t.quit(...["beacon", "fetch"].filter(() => random() < 0.5))),
    later() {
      const e = of(tab.later);
      if (e && tab.nav.onLine) e.fire();
    },
    async deny() {
      if (random() < 0.7) return;
      for (const x of made) x.excused = true;
      tab.beacon.consent("denied");
      await w.tick(w.storage.lag + 1); // the other tab hears of it
      denied = true;
      const from = w.requests.length;
      const check = () => {
        assert.deepEqual(w.requests.slice(from).map((r) => [r.kind, r.body]), [], `after a denial ${why()}`);
        assert.deepEqual(Object.keys(w.storage.data).filter((k) => k !== "bcn:c"), [], `after a denial ${why()}`);
      };
      check();
      for (let i = pick(6); i--;) {
        const name = of(names.filter((x) => x !== "deny" && x !== "pending"));
        trace.push(`(${name})`);
        await actions[name]();
        if (two) tab = of(tabs);
      }
      await w.tick(1_000);
      check();
      tabs.forEach(excuse);
      denied = false;
      for (const t of tabs) t.beacon.consent("granted");
    },
    async pending() {
      if (random() < 0.7) return;
      tabs.forEach(excuse); // a page may end meanwhile
      tab.beacon.consent("pending");
      await w.tick(pick(5_000));
      tab.beacon.consent("granted");
    },
  };
  const careful = ["crash", "offline", "worse", "quit", "deny", "pending", "reopen", "worker"];
  // What stands still while others see late what it wrote cannot know in time whose a
  // record is: there twins of raw beacons are possible.
  const still = w.storage.lag ? ["sleep", "suspend", "freeze"] : [];
  const names = Object.keys(actions).filter((name) => !without.includes(name) && !still.includes(name) && (stores || !careful.includes(name)));
  await open(0);
  if (two) await open(1);
  for (let i = 0; i < 40; i++) {
    if (two) tab = of(tabs);
    const name = of(names);
    trace.push(two ? `${name}${tabs.indexOf(tab)}` : name);
    await actions[name]();
    if (random() < 0.5) await idle();
  }
  // In the end all is well again, and time passes.
  actions.better();
  actions.room();
  for (const t of tabs) {
    await t.online(true);
    await t.show();
  }
  await w.tick(4_000_000);
  for (const t of tabs) await t.leave();
  if (stores) {
    await open(0);
    await w.tick(200_000);
    await tab.leave();
  }

  const seen = new Set(w.items.map((i) => i.id));
  const tried = (x, i) =>
    w.requests.some((r) => r.bye && !r.arrived && (x.count ? r.envelope?.k === x.key && r.envelope.ev.some((e) => e.n === i) : r.body === x.key || r.url.endsWith(`?${x.key}`)));
  for (const x of made) {
    const ids = x.kind !== "raw" && x.kind !== "get";
    const reported = x.why?.length || told;
    const lost = (i) => `lost ${x.key}${i ? `:${i}` : ""} ${why()}`;
    const excused = (i) => x.dead || x.excused || reported || ((!ids || fullEver || !stores) && tried(x, i));
    if (x.count) {
      for (let i = x.kind === "append" ? 1 : x.count; i <= x.count; i++) assert.ok(seen.has(`${x.key}:${i}`) || excused(i), lost(i));
    } else {
      const mine = w.arrived.filter((r) => r.body === x.key || r.url.endsWith(`?${x.key}`));
      assert.ok(mine.length || excused(), lost());
      assert.ok(ids || mine.length < 2, `${mine.length} times ${x.key} ${why()}`);
    }
    if (!x.dead || !x.wasPending) continue;
    // What was sent before may be repeated, but its newest part was not sent. And a
    // page that stands still may have been sent for by another.
    const own = w.requests.filter((r) => r.tab === x.tab);
    if (x.count) assert.ok(!own.some((r) => r.envelope?.k === x.key && r.envelope.ev.some((e) => e.n === x.count)), `sent although deactivated ${x.key}:${x.count} ${why()}`);
    else assert.ok(!own.some((r) => r.body === x.key || r.url.endsWith(`?${x.key}`)), `sent although deactivated ${x.key} ${why()}`);
  }
  for (const r of w.requests) if (r.kind === "beacon" || r.init.keepalive) assert.ok(size(r.body) <= 60_000, why());
}

test(`${runs} random lives`, async () => {
  const thrown = [];
  const note = (e) => thrown.push(e);
  process.on("unhandledRejection", note);
  process.on("uncaughtException", note);
  const first = Number(process.env.SEED || 1);
  const failed = [];
  for (let seed = first; seed < first + runs; seed++) {
    try {
      await run(seed);
    } catch (error) {
      if (!process.env.TRACE) throw error;
      failed.push(`${seed} ${error.message.split("{")[0].split("\n")[0]}`);
    }
  }
  if (failed.length) console.log(failed.join("\n"));
  process.off("unhandledRejection", note);
  process.off("uncaughtException", note);
  assert.deepEqual(thrown, []);
});
