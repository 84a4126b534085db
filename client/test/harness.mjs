// A browser made of fakes: a clock that stands still, tabs with a life cycle, a
// store they share, and a record of every request that leaves. Where real browsers
// are nasty it can be too: see the options of open and the methods of Tab.
//
// With CLIENT=dist the tests run against the built files.
import { evaluate } from "./link.mjs";
import { fakeStorage, localStorage } from "./storage.mjs";

export { fakeStorage };

const dist = process.env.CLIENT === "dist";
const files = { module: dist ? "dist/beacon.min.mjs" : "beacon.js", classic: dist ? "dist/beacon.min.js" : "src/classic.js" };

const { setImmediate } = globalThis;
export const idle = () => new Promise((done) => setImmediate(done)); // all promises go before it

export function rng(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Target extends EventTarget {
  emit(type, props) {
    this.dispatchEvent(Object.assign(new Event(type), props));
  }

  addEventListener(...args) {
    (this.listeners ||= []).push(args);
    super.addEventListener(...args);
  }

  /** As document.open() does. */
  forget() {
    for (const [type, f, how] of this.listeners || []) super.removeEventListener(type, f, { capture: how?.capture ?? how }); // node's takes no boolean
    this.listeners = [];
  }
}

const bodySize = (b) => (b == null ? 0 : b.byteLength ?? b.size ?? Buffer.byteLength(`${b}`));

export class World {
  constructor({ storage = fakeStorage(), seed = 1 } = {}) {
    this.time = 1_700_000_000_000;
    this.slept = 0; // what clocks that stand still during sleep have missed
    this.timers = [];
    this.sequence = 0;
    this.requests = []; // that left a browser, delivered or not
    this.storage = storage;
    this.ids = 0;
    this.respond = () => ({ status: 204 });
    this.locked = false;
    this.holder = undefined; // of the lock
    this.random = rng(seed);
  }

  after(ms, f, tab) {
    const timer = { at: this.time + Math.max(0, Math.floor(ms) || 0), n: ++this.sequence, f, tab };
    this.timers.push(timer);
    return timer;
  }

  /** Lets ms pass. */
  async tick(ms) {
    const end = this.time + ms;
    await idle();
    for (;;) {
      let due;
      for (const t of this.timers) if (t.at <= end && !t.tab?.frozen && (!due || t.at < due.at || (t.at === due.at && t.n < due.n))) due = t;
      if (!due) break;
      this.timers.splice(this.timers.indexOf(due), 1);
      this.time = Math.max(this.time, due.at);
      due.f();
      await idle();
    }
    this.time = end;
    await idle();
  }

  /** The machine sleeps: timers and performance.now() stand still, Date.now() does not. */
  sleep(ms) {
    this.time += ms;
    this.slept += ms;
    for (const t of this.timers) t.at += ms;
  }

  /** The requests that arrived. */
  get arrived() {
    return this.requests.filter((r) => r.arrived);
  }

  /** The items that arrived in envelopes, as "key:n" in order, with their data. */
  get items() {
    return this.arrived.filter((r) => r.envelope).flatMap((r) => r.envelope.ev.map((e) => ({ ...e, id: `${r.envelope.k}:${e.n}`, envelope: r.envelope })));
  }

  /**
   * Opens a tab.
   * @param {object} [o]
   * url; hidden; prerendering; onLine; lies (onLine is false and the network is there); gpc;
   * fetchLater, quota (whether it throws); sendBeacon, locks, keepalive (false: there is none); patched (fetch throws);
   * shared: sendBeacon and keepalive have 64 KiB together; tag: attributes, for the classic script;
   * globals: what else the window has, undefined for what it lacks
   */
  async open(o = {}) {
    const tab = new Tab(this, o);
    await tab.load();
    return tab;
  }
}

class Tab {
  constructor(world, o) {
    this.world = world;
    this.alive = true;
    this.frozen = false; // its timers stand still
    this.ending = false; // requests without keepalive end with the page
    this.deaf = false; // what it writes and deletes does not reach the store
    this.later = []; // what fetchLater holds
    this.flying = new Set(); // requests without an answer yet
    this.inflight = 0; // bytes of those with keepalive
    this.locks = 0;
    this.warnings = [];
    this.options = o;
    this.doc = Object.assign(new Target(), {
      visibilityState: o.hidden ? "hidden" : "visible",
      prerendering: o.prerendering,
      baseURI: o.url || "https://example.com/dir/page?q=1#frag",
      referrer: o.referrer || "",
      focus: true,
      hasFocus() {
        return this.focus && this.visibilityState === "visible";
      },
    });
    this.win = new Target();
    this.nav = { onLine: o.onLine !== false, globalPrivacyControl: o.gpc };
    if (o.sendBeacon !== false) {
      this.nav.sendBeacon = (url, body) => {
        if (o.shared && this.inflight + bodySize(body) > 65_536) return false;
        const r = this.request("beacon", url, { method: "POST", body });
        if (this.connected) r.answer = world.respond(r);
        if (r.answer?.refused) return false;
        r.arrived = this.connected && !r.answer?.lost && !this.lost(r);
        return true;
      };
    }
    if (o.locks !== false) {
      this.nav.locks = {
        request: async (name, ...rest) => {
          const [f, options = {}] = rest.reverse();
          await null;
          if (options.ifAvailable && (world.locked || world.holder)) return f(null);
          while (world.locked || world.holder?.alive) await new Promise((done) => world.after(10, done, this));
          world.holder = this;
          this.locks++;
          try {
            return await f({ name });
          } finally {
            this.locks--;
            if (world.holder === this) world.holder = undefined;
          }
        },
      };
    }
    if (o.fetchLater) this.fetchLater = (url, init) => this.delay(url, init);
  }

  get connected() {
    return this.nav.onLine || !!this.options.lies;
  }

  /** Of a page that ends: what the browser takes and does not send. */
  lost() {
    return false;
  }

  request(kind, url, init) {
    const r = { kind, url: new URL(url, this.doc.baseURI).href, method: init.method, body: init.body ?? null, init, at: this.world.time, tab: this, bye: this.ending, arrived: false };
    if (typeof r.body === "string" && r.body.startsWith('{"v":1')) r.envelope = JSON.parse(r.body);
    this.world.requests.push(r);
    return r;
  }

  delay(url, init) {
    if (this.options.quota?.()) throw new DOMException("quota", "QuotaExceededError");
    const result = { activated: false };
    const entry = { url, init, result, registered: this.world.time };
    entry.fire = () => {
      if (!this.later.includes(entry)) return;
      this.later.splice(this.later.indexOf(entry), 1);
      this.world.timers = this.world.timers.filter((t) => t !== entry.timer);
      result.activated = true;
      const r = this.request("later", url, init);
      r.arrived = this.connected;
    };
    entry.timer = this.world.after(init.activateAfter, entry.fire); // of the browser: runs while the page is frozen
    init.signal?.addEventListener("abort", () => {
      this.later = this.later.filter((e) => e !== entry);
      this.world.timers = this.world.timers.filter((t) => t !== entry.timer);
    });
    this.later.push(entry);
    this.registrations = (this.registrations || 0) + 1;
    return result;
  }

  async fetch(url, init = {}) {
    const { world } = this;
    init = { ...init, keepalive: !!init.keepalive }; // as browsers understand it
    const keepalive = init.keepalive && this.options.keepalive !== false;
    const size = keepalive ? bodySize(init.body) : 0;
    if (this.inflight + size > 65_536) throw new TypeError("too much in flight");
    const r = this.request("fetch", url, init);
    if (!this.connected) throw new TypeError("Failed to fetch");
    const answer = (r.answer = world.respond(r));
    if (answer.rejected) {
      r.arrived = !!answer.arrived;
      throw new TypeError("Failed to fetch");
    }
    const { status = 204, headers = {}, delay } = answer;
    const same = new URL(r.url).origin === new URL(this.doc.baseURI).origin;
    const { type = same ? "basic" : init.mode === "no-cors" ? "opaque" : "cors" } = answer;
    const opaque = type === "opaque";
    r.arrived = answer.arrived ?? status < 300; // else the server did not take it
    if (this.lost(r) || (this.ending && !keepalive)) r.arrived = false;
    // A page that ends does not live to see the answer.
    if (delay || this.torn || this.ending) {
      this.inflight += size;
      try {
        await new Promise((done, fail) => {
          this.flying.add((r.fail = () => fail(new TypeError("Load failed"))));
          if (!this.torn && !this.ending) world.after(delay, done, this);
        });
      } finally {
        this.inflight -= size;
        this.flying.delete(r.fail);
      }
    }
    return {
      status: opaque ? 0 : status,
      ok: !opaque && status >= 200 && status < 300,
      type,
      url: opaque ? "" : answer.url ?? r.url.split("#")[0],
      redirected: !!answer.redirected,
      headers: new Headers(headers),
    };
  }

  async load() {
    const { world, doc, win } = this;
    const tab = this;
    const at = () => new URL(doc.baseURI);
    const slept = world.slept;
    const origin = world.time;
    class FakeDate extends Date {
      constructor(...args) {
        super(...(args.length ? args : [world.time]));
      }

      static now() {
        return world.time;
      }
    }
    const console = Object.fromEntries(["log", "info", "debug", "error", "warn"].map((level) => [level, (...args) => tab.warnings.push([level, ...args])]));
    Object.assign(win, {
      window: win, self: win, globalThis: win,
      document: doc,
      Document: class Document { get currentScript() { return tab.script; } },
      navigator: this.nav,
      location: Object.defineProperties({}, Object.fromEntries(
        ["origin", "href", "pathname", "search", "hash", "host", "hostname", "protocol"].map((part) => [part, { get: () => at()[part], enumerable: true }]),
      )),
      origin: at().origin,
      isSecureContext: /^https:|^http:\/\/(localhost|127\.)/.test(doc.baseURI),
      history: { pushState: (_s, _t, url) => (doc.baseURI = new URL(url ?? "", at()).href), replaceState: (_s, _t, url) => (doc.baseURI = new URL(url ?? "", at()).href) },
      performance: { timeOrigin: origin, now: () => world.time - origin - (world.slept - slept) + 0.25 },
      crypto: { getRandomValues: (a) => a.fill(0).fill(++world.ids, a.length - 1) },
      Math: Object.defineProperties({}, { ...Object.getOwnPropertyDescriptors(Math), random: { value: () => world.random() } }),
      Date: FakeDate,
      console,
      fetchLater: this.fetchLater,
      fetch: (url, init) => {
        if (tab.options.patched) {
          tab.request("fetch", url, init);
          throw new Error("patched fetch");
        }
        return tab.fetch(url, init);
      },
      Request: this.options.keepalive === false ? class Request {} : class Request { get keepalive() { return true; } },
      setInterval: (f, ms) => {
        const again = () => {
          world.after(ms, again, tab);
          f();
        };
        world.after(ms, again, tab);
      },
      setTimeout: (f, ms) => world.after(ms, f, tab),
      requestIdleCallback: (f, { timeout }) => world.after(Math.min(timeout, 60), f, tab),
      clearTimeout: (timer) => {
        world.timers = world.timers.filter((t) => t !== timer);
      },
      queueMicrotask, AbortController, ReadableStream, Blob, FormData, URL, URLSearchParams, TextEncoder, Headers,
      ...this.options.globals,
    });
    this.storage = world.storage && localStorage(world.storage, this);
    Object.defineProperty(win, "localStorage", {
      get: () => {
        if (!tab.storage) throw new DOMException("denied", "SecurityError");
        return tab.storage;
      },
    });
    this.beacon = this.run();
    await null;
  }

  /** Runs the script, or once more: as a classic one, with the attributes of its tag, or as a module. */
  run(tag = this.options.tag, o) {
    if (!tag) return evaluate(files.module, this.win, o);
    const src = `${new URL(this.doc.baseURI).origin}/_pb.js`;
    this.script = { dataset: tag, src, getAttribute: (k) => (k === "src" ? src : tag[k.replace("data-", "")] ?? null) };
    try {
      evaluate(files.classic, this.win, o);
    } finally {
      this.script = null;
    }
    return this.win.beacon;
  }

  async see(state) {
    if (this.doc.visibilityState === state) return;
    this.doc.visibilityState = state;
    this.doc.emit("visibilitychange");
    await idle();
  }

  hide() {
    return this.see("hidden");
  }

  show() {
    return this.see("visible");
  }

  /**
   * The page ends, in the order of all engines: pagehide, then visibilitychange.
   * @param {object} [o]
   * persisted: it may come back; change: no visibilitychange without it; deaf: what it writes
   * and deletes does not reach the store; torn: its requests arrive and are rejected all the same;
   * lost: of the requests (kind, init) those that never leave, as when the browser quits
   */
  async leave({ persisted = false, change = true, deaf = false, torn = false, lost, later = true } = {}) {
    Object.assign(this, { ending: !persisted, deaf, torn }, lost && { lost });
    this.win.emit("pagehide", { persisted });
    await idle();
    if (change) await this.see("hidden");
    for (const e of [...this.later]) if (later) e.fire();
    for (const fail of this.flying) if (torn) fail();
    await idle();
    this.frozen = true;
    if (!persisted) this.end();
  }

  end() {
    this.alive = false;
    this.later.forEach((e) => (this.world.timers = this.world.timers.filter((t) => t !== e.timer)));
    this.later = [];
    if (this.world.holder === this) this.world.holder = undefined;
    this.world.timers = this.world.timers.filter((t) => t.tab !== this);
  }

  /** From the back/forward cache. */
  async restore() {
    this.frozen = false;
    this.doc.visibilityState = "visible";
    this.win.emit("pageshow", { persisted: true });
    this.doc.emit("visibilitychange");
    await idle();
  }

  /** The renderer dies; what the browser holds goes out. */
  crash() {
    for (const e of [...this.later]) e.fire();
    this.end();
  }

  /** The whole browser dies. */
  kill() {
    this.end();
  }

  /** The user quits the browser: what goes by these kinds of request is taken and lost. */
  quit(...kinds) {
    return this.leave({ lost: (r) => kinds.includes(r.kind), later: !kinds.includes("later") });
  }

  /**
   * The browser quits: its pages are hidden, and what it held when that began is sent,
   * whatever they take back.
   */
  async shutdown() {
    const held = [...this.later];
    await this.hide();
    this.later = [...held];
    for (const e of held) e.fire();
    this.end();
  }

  /** document.open(): every listener is gone. */
  reopen() {
    this.doc.forget();
    this.win.forget();
  }

  async online(on) {
    this.nav.onLine = on;
    this.win.emit(on ? "online" : "offline");
    await idle();
  }
}
