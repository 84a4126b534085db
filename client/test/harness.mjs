// A browser made of fakes: a clock that stands still, tabs with a life cycle, a
// store they share, and a record of every request that leaves.
//
// With CLIENT=dist the tests run against the built file.
import { register } from "node:module";

// Gives each tab its own copy of the modules: the query of the module that
// imports goes over to what it imports.
register(
  "data:text/javascript," +
    encodeURIComponent(`export async function resolve(s, c, next) {
      const r = await next(s, c);
      const q = c.parentURL ? new URL(c.parentURL).search : "";
      return q && s.startsWith(".") ? { ...r, url: r.url + q } : r;
    }`),
);

const source = process.env.CLIENT === "dist" ? "../dist/beacon.min.mjs" : "../beacon.js";
let copies = 0;

const { setImmediate } = globalThis;
export const idle = async () => {
  for (let i = 0; i < 4; i++) await new Promise((done) => setImmediate(done));
};

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
}

/** localStorage, which has its items as properties. */
export function fakeStorage({ quota = Infinity, broken = false } = {}) {
  const data = {};
  const check = () => {
    if (broken) throw new DOMException("denied", "SecurityError");
  };
  const api = {
    data,
    getItem: (k) => (check(), data[k] ?? null),
    setItem: (k, v) => {
      check();
      proxy[k] = v;
    },
    removeItem: (k) => (check(), delete data[k]),
  };
  const proxy = new Proxy(data, {
    get: (t, k) => api[k] ?? (check(), t[k]),
    set: (t, k, v) => {
      check();
      const size = Object.entries(t).reduce((n, [a, b]) => n + (a === k ? 0 : a.length + b.length), 0);
      if (size + k.length + `${v}`.length > quota) throw new DOMException("full", "QuotaExceededError");
      t[k] = `${v}`;
      return true;
    },
    ownKeys: (t) => (check(), Reflect.ownKeys(t)),
    deleteProperty: (t, k) => (check(), delete t[k]),
  });
  return proxy;
}

export class World {
  constructor({ storage = fakeStorage(), seed = 1 } = {}) {
    this.time = 1_700_000_000_000;
    this.timers = [];
    this.sequence = 0;
    this.requests = []; // that left a browser, delivered or not
    this.storage = storage;
    this.ids = 0;
    this.errors = [];
    this.respond = () => ({ status: 204 });
    this.locked = false;
    Math.random = rng(seed);
  }

  after(ms, f, tab) {
    const timer = { at: this.time + Math.max(0, ms || 0), n: ++this.sequence, f, tab };
    this.timers.push(timer);
    return timer;
  }

  /** Lets ms pass. */
  async tick(ms) {
    const end = this.time + ms;
    await idle();
    for (;;) {
      const due = this.timers.filter((t) => t.at <= end && !t.tab?.frozen).sort((a, b) => a.at - b.at || a.n - b.n)[0];
      if (!due) break;
      this.timers.splice(this.timers.indexOf(due), 1);
      this.time = Math.max(this.time, due.at);
      due.f();
      await idle();
    }
    this.time = end;
    await idle();
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
    this.frozen = false;
    this.later = []; // what fetchLater holds
    this.locks = 0;
    this.listeners = [];
    this.options = o;
    this.doc = Object.assign(new Target(), {
      visibilityState: o.hidden ? "hidden" : "visible",
      prerendering: o.prerendering,
      baseURI: o.url || "https://example.com/dir/page?q=1#frag",
      focus: true,
      hasFocus() {
        return this.focus && this.visibilityState === "visible";
      },
    });
    this.win = new Target();
    this.nav = { onLine: o.onLine !== false, globalPrivacyControl: o.gpc };
    if (o.sendBeacon !== false) {
      this.nav.sendBeacon = (url, body) => {
        const r = this.request("beacon", url, { method: "POST", body });
        if (this.nav.onLine) r.answer = world.respond(r);
        if (r.answer?.refused) return false;
        r.arrived = this.nav.onLine && !r.answer?.lost;
        return true;
      };
    }
    if (o.locks !== false) {
      this.nav.locks = {
        request: async (name, f) => {
          await null;
          while (world.locked) await new Promise((done) => world.after(100, done, this));
          this.locks++;
          try {
            return await f({ name });
          } finally {
            this.locks--;
          }
        },
      };
    }
    if (o.fetchLater) this.fetchLater = (url, init) => this.delay(url, init);
  }

  request(kind, url, init) {
    const r = { kind, url: `${url}`, method: init.method, body: init.body ?? null, init, at: this.world.time, tab: this, arrived: false };
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
      r.arrived = this.nav.onLine;
    };
    entry.timer = this.world.after(init.activateAfter, entry.fire); // of the browser: runs while the page is frozen
    init.signal.addEventListener("abort", () => {
      this.later = this.later.filter((e) => e !== entry);
      this.world.timers = this.world.timers.filter((t) => t !== entry.timer);
    });
    this.later.push(entry);
    this.registrations = (this.registrations || 0) + 1;
    return result;
  }

  async load() {
    const { world } = this;
    const tab = this;
    Object.assign(this.win, {
      document: this.doc,
      navigator: this.nav,
      location: { origin: new URL(this.doc.baseURI).origin, href: this.doc.baseURI },
      performance: { timeOrigin: world.time, now: ((origin) => () => world.time - origin + 0.25)(world.time) },
      crypto: {
        getRandomValues(a) {
          return a.fill(0).fill(++world.ids, a.length - 1);
        },
      },
      fetchLater: this.fetchLater,
      fetch: (url, init) => {
        const r = tab.request("fetch", url, init);
        if (tab.options.patched) throw new Error("patched fetch");
        if (!tab.nav.onLine) return Promise.reject(new TypeError("Failed to fetch"));
        const answer = (r.answer = world.respond(r));
        if (answer.rejected) {
          r.arrived = !!answer.arrived;
          return Promise.reject(new TypeError("Failed to fetch"));
        }
        const { status = 204, headers = {}, type = "basic" } = answer;
        r.arrived = status < 300; // else the server did not take it
        const response = { status: type === "opaque" ? 0 : status, ok: type !== "opaque" && status >= 200 && status < 300, type, headers: new Headers(headers) };
        return new Promise((done) => (answer.delay ? world.after(answer.delay, () => done(response), tab) : done(response)));
      },
      setTimeout: (f, ms) => world.after(ms, f, tab),
      clearTimeout: (timer) => {
        world.timers = world.timers.filter((t) => t !== timer);
      },
      AbortController, ReadableStream,
      ...this.options.globals,
    });
    Object.defineProperty(this.win, "localStorage", { get: () => {
      if (!world.storage) throw new DOMException("denied", "SecurityError");
      return world.storage;
    } });
    globalThis.window = this.win;
    try {
      this.beacon = await import(`${source}?${++copies}`);
    } finally {
      delete globalThis.window;
    }
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

  /** The page ends, in the order of all engines: pagehide, then visibilitychange. */
  async leave({ persisted = false, change = true } = {}) {
    this.win.emit("pagehide", { persisted });
    await idle();
    if (change) await this.see("hidden");
    for (const e of [...this.later]) e.fire();
    this.frozen = true;
    if (!persisted) this.end();
  }

  end() {
    this.alive = false;
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
    for (const e of this.later) this.world.timers = this.world.timers.filter((t) => t !== e.timer);
    this.later = [];
    this.end();
  }

  async online(on) {
    this.nav.onLine = on;
    this.win.emit(on ? "online" : "offline");
    await idle();
  }
}
