/**
 * The beacons: PendingGetBeacon and PendingPostBeacon of the Page Unload Beacon
 * explainer, and its two of a higher level.
 *
 * A beacon is held until a timer, the page or the end of the page sends it. If
 * the browser has fetchLater, it holds the beacon too, and sends it even if the
 * page crashes. Otherwise this module watches the life of the page and sends at
 * the last event that every browser delivers.
 */
import { LIMIT, MINUTE, bytes, clearTimeout, doc, fetchLater, hidden, newId, now, offline, on, quietly, setTimeout, w } from "./env.js";
import { lastChance, parked, plug, report, request, send, stamped, wait } from "./transport.js";

/** @typedef {import("./transport.js").Parcel} Parcel */

/** How long the browser may hold a request. */
const CAP = 30 * MINUTE;

const DRAFT = 0; // nothing to send yet
const HELD = 1;
const DONE = 2; // on its way, sent, failed or given up

/** All in state HELD. @type {Set<PendingBeacon>} */
const held = new Set();
/** To be arranged anew. @type {Set<PendingBeacon>} */
const changed = new Set();
/** What was sent in pagehide, and is sent once more after it. @type {Parcel[]} */
const twins = [];
/** Since pagehide: this page is about to end, or to enter the back/forward cache. */
let leaving = false;
let listening = false;

/**
 * Called with what happens to the page: "hide" before it is hidden or ends,
 * "hidden" and "end" afterwards, "show", "back" from the back/forward cache, and
 * "review".
 * @type {((event: string) => void)[]}
 */
export const hooks = [];

/** @param {string} event */
const emit = (event) => hooks.map((f) => quietly(() => f(event)));

/** @param {(b: PendingBeacon) => unknown} f */
const each = (f) => [...held].map((b) => quietly(() => b._open() && f(b)));

const settle = () => {
  const list = [...changed];
  changed.clear();
  list.map((b) => quietly(() => b._arrange()));
};

/** What decides about all beacons changed: policy or connection. */
export const review = () => {
  each((b) => (plug._gate() < 0 ? b._close() : b._arrange()));
  for (const p of parked) wait(p, 2e3);
  emit("review");
};

/** @param {boolean} [frozen] no timer runs any more */
const hide = (frozen) => {
  emit("hide");
  settle();
  each((b) => (b._background > 0 && !leaving && !frozen ? b._arrange() : b._flush()));
  // Firefox loses much of what is sent in pagehide; other browsers may have no
  // other event. The receiver tells twins by their ids.
  twins.splice(0).map((p) => send(p, true));
  if (leaving || frozen) lastChance();
  emit("hidden");
};

/** Not before the first beacon, so that loading this module does nothing. */
export const listen = () => {
  if (listening) return;
  listening = true;
  on(doc, "visibilitychange", () => {
    if (hidden()) return hide();
    each((b) => b._arrange());
    emit("show");
  });
  on(doc, "freeze", () => hide(true));
  on(w, "pagehide", () => {
    leaving = true;
    if (hidden()) hide(); // no other event follows
    else {
      emit("hide");
      settle();
      // visibilitychange follows and delivers better, so what has no ids waits
      // for it. Should it not come, there is the store.
      each((b) => b._later || b._leave());
    }
    // What the browser holds is the browser's.
    if (!plug._keep && !offline()) each((b) => b._later && plug._drop(b._id));
    emit("end");
  });
  on(w, "pageshow", (e) => {
    leaving = false;
    twins.splice(0).map((p) => p._ids || send(p)); // no visibilitychange came
    if (e.persisted) {
      emit("back");
      review();
    }
  });
  on(w, "online offline", review);
  on(doc, "prerenderingchange", review);
};

/**
 * @param {any} url
 * @returns {string} url as given, if beacons may go there
 */
export const checkURL = (url) => {
  // Like the browser: what does not leave the machine needs no TLS.
  const u = url != null && new URL((url = `${url}`), doc.baseURI);
  if (!u || !/^https:|^http:(127\.[\d.]+|\[::1]|(.+\.)?localhost)$/.test(u.protocol + u.hostname)) {
    throw new TypeError("not https: " + url);
  }
  return url;
};

/** A number as IDL's long; without one, none. @param {any} n */
const long = (n) => (n === undefined ? -1 : n | 0);

/**
 * What data is now, whatever the page does to it later.
 * @param {any} data
 */
const copy = (data) => {
  if (data == null || data instanceof Blob) return data;
  if (data.getReader) throw new TypeError("stream");
  if (data.byteLength >= 0) return new Uint8Array(data.buffer || data, data.byteOffset, data.byteLength).slice();
  if (!(data instanceof FormData || data instanceof URLSearchParams)) return `${data}`;
  const same = new /** @type {any} */ (data.constructor)();
  for (const [k, v] of data) same.append(k, v);
  return same;
};

/**
 * @typedef {object} BeaconOptions
 * @property {number} [timeout]
 * @property {number} [backgroundTimeout]
 * @property {"include" | "same-origin"} [credentials]
 * @property {boolean} [sendEmpty]
 * @property {string} [idParam]
 * @property {string} [token]
 * @property {"store"} [onHidden]
 * @property {string} [key]
 * @property {(f: import("./transport.js").Failure) => void} [onerror]
 */

/** What all beacons have in common. */
export class PendingBeacon {
  /** When timeout ends. */
  _deadline = 0;
  /** @type {any} */
  _timer;
  /** What the browser holds. @type {{readonly activated: boolean} | undefined} */
  _later;
  /** @type {AbortController | undefined} */
  _abort;
  /** @type {string} */
  _method = "POST";

  /**
   * @param {string} url
   * @param {BeaconOptions} [options]
   * @param {string} [mode] "append" or "replace" for one that sends envelopes, again and again
   */
  constructor(url, options, mode = "") {
    if (new.target === PendingBeacon) throw new TypeError("abstract");
    this._url = checkURL(url);
    this._options = { ...options };
    const { timeout, backgroundTimeout, idParam, key } = this._options;
    this._timeout = long(timeout);
    this._background = long(backgroundTimeout);
    this._mode = mode;
    this._key = `${key ?? newId()}`;
    this._ids = mode || idParam;
    this._n = 0; // items ever
    this._off = false;
    this._renew();
    listen();
  }

  /** Begins a request. */
  _renew() {
    /** @type {string} */
    this._id = newId();
    /** @type {number} */
    this._rev = 0;
    /** @type {number} */
    this._state = DRAFT;
    /** @type {number} */
    this._born = now();
    this._view = plug._view();
    /** What is sent; for an envelope its items, as JSON. @type {any} */
    this._data = null;
    /** Of the envelope. @type {number} */
    this._size = 0;
    /** When backgroundTimeout ends, while hidden. @type {number} */
    this._hideline = 0;
  }

  get url() {
    return this._url;
  }

  get method() {
    return this._method;
  }

  /** Of an envelope: whether it has something that was not sent. */
  get pending() {
    return this._open() && !(this._mode && !this._state);
  }

  get timeout() {
    return this._timeout;
  }

  set timeout(ms) {
    ms = long(ms);
    if (this._usable()) {
      this._timeout = ms;
      this._restart();
    }
  }

  get backgroundTimeout() {
    return this._background;
  }

  set backgroundTimeout(ms) {
    ms = long(ms);
    if (this._usable()) {
      this._background = ms;
      this._hideline = 0;
      this._schedule();
    }
  }

  sendNow() {
    if (this.pending) this._send();
  }

  deactivate() {
    this._off = true;
    if (this._open()) this._close();
  }

  /** Whether it may be changed. */
  _usable() {
    return this._mode ? !this._off : this._open();
  }

  /** Whether the content may still change: the browser may have sent it by now. */
  _open() {
    if (this._later?.activated) this._close();
    return this._state < DONE;
  }

  _close(state = DONE) {
    this._state = state;
    held.delete(this);
    this._release();
    plug._drop(this._id);
  }

  /** Ends what would send it. */
  _release() {
    clearTimeout(this._timer);
    this._abort?.abort();
    this._later = undefined;
  }

  /** timeout counts from now. */
  _restart() {
    this._deadline = now() + this._timeout;
    this._schedule();
  }

  /** The content changed. */
  _touch() {
    this._rev++;
    if (this._state === DRAFT) {
      const gate = plug._gate();
      if (gate < 0 || (!gate && held.size > 49)) {
        this._close();
        return report(this, "consent");
      }
      this._state = HELD;
      held.add(this);
      this._restart();
    }
    this._schedule();
  }

  /** Changes in a row are registered with the browser once. */
  _schedule() {
    if (!changed.size) queueMicrotask(settle);
    changed.add(this);
  }

  /** Has it sent when it has to be. */
  _arrange() {
    if (!this._open() || this._state !== HELD) return;
    this._release();
    if (plug._gate() < 1) return;
    const t = now();
    let end = this._timeout < 0 ? Infinity : this._deadline;
    if (!hidden()) this._hideline = 0;
    else if (this._background >= 0) end = Math.min(end, (this._hideline ||= t + Math.min(this._background, CAP)));
    const left = Math.max(0, end - t);
    const p = this._parcel();
    if (!this._hand(p, left)) {
      if (hidden() && (leaving || !(this._background > 0))) return this._flush();
      if (leaving) return this._leave();
    }
    p._later = this._later;
    plug._save(p, !hidden());
    if (left < Infinity || this._later) {
      // The browser must not end the wait of a page that is in use.
      this._timer = setTimeout(() => {
        // Offline it is better held than sent into the void.
        if (now() < end) this._arrange();
        else if (!offline()) this._send();
      }, Math.min(left, CAP / 2));
    }
  }

  /** Hands it to the browser. @param {Parcel} p @param {number} left milliseconds until it is to be sent */
  _hand(p, left) {
    if (!fetchLater || offline()) return;
    const abort = (this._abort = new AbortController());
    // It throws if it has too much to hold already, or if policy says no.
    const [url, body] = stamped(p, "later");
    return (this._later = quietly(() =>
      /** @type {NonNullable<typeof fetchLater>} */ (fetchLater)(url, {
        ...request(p, body),
        signal: abort.signal,
        // Without it, browsers do not send early what they are about to lose.
        // A little late, as our own timer can try again.
        activateAfter: Math.min(left + 500, CAP),
      }),
    ));
  }

  /**
   * Puts an item into the envelope.
   * @param {unknown} d
   * @param {string} [e]
   */
  _add(d, e) {
    const item = JSON.stringify({ n: this._n + 1, t: now(), e, d: d ?? null });
    const size = bytes(item) + 1;
    if (this._off) return;
    const renew = () => {
      this._renew();
      this._data = [];
      // With room for what grows: revision, times, ids.
      this._size = bytes(this._seal([])("later")) + 99;
    };
    if (!this._data || !this._open()) renew();
    const { length } = this._data;
    const large = this._size + size > LIMIT;
    if (this._mode > "b") {
      if (large) throw new RangeError("too large");
      this._data = [];
    } else {
      if (length > 49 && !plug._gate()) return report(this, "consent");
      if (length && large) {
        this._send();
        renew();
      }
      this._size += size;
    }
    this._data.push(item);
    this._n++;
    this._touch();
  }

  /** @returns {Parcel} */
  _parcel() {
    const { _mode, _data, _id, _rev } = this;
    const { idParam } = this._options;
    const url = new URL(this._url, doc.baseURI);
    url.hash = ""; // nobody gets it, and the query comes to its end
    // By hand: searchParams would rewrite the rest of the query.
    if (idParam) url.search += `${url.search && "&"}${idParam}=${_id}.${_rev}`;
    const body = _mode ? this._seal([..._data]) : () => _data;
    return { ...this, _url: url.href, _body: body, _tries: 0 };
  }

  /**
   * @param {string[]} items
   * @returns {(via: string) => string} what makes an envelope of them
   */
  _seal(items) {
    const head = { v: 1, m: this._mode, k: this._key, b: this._id, r: this._rev, ...plug._who(), ...this._view };
    return (via) => JSON.stringify({ ...head, via, at: now(), ev: 0 }).slice(0, -2) + `[${items}]}`;
  }

  _send() {
    if (!this._open()) return;
    this._release();
    const p = this._state && this._parcel();
    this._close();
    if (!p) return;
    if (leaving && !hidden()) {
      twins.push(p);
      if (!p._ids) return plug._save(p); // once is all it may be sent
    }
    send(p, leaving || hidden());
  }

  /** In pagehide, while the page is visible. */
  _leave() {
    if (plug._gate() < 1) return;
    if (this._ids && !offline()) this._send();
    else plug._save(this._parcel());
  }

  /** When the page is hidden. */
  _flush() {
    if (plug._gate() < 1) return;
    if (offline() || (this._options.onHidden && !leaving)) plug._save(this._parcel());
    else if (!this._later || (!this._background && !leaving)) this._send();
  }
}

/** A GET request, held from the start. */
export class PendingGetBeacon extends PendingBeacon {
  /** @param {string} url @param {BeaconOptions} [options] */
  constructor(url, options) {
    super(url, options);
    this._method = "GET";
    this._touch();
  }

  /** @param {string} url */
  setURL(url) {
    url = checkURL(url);
    if (this._open()) {
      this._url = url;
      this._touch();
    }
  }
}

/** A POST request, held while it has data. */
export class PendingPostBeacon extends PendingBeacon {
  /** @param {string} url @param {BeaconOptions} [options] */
  constructor(url, options) {
    super(url, options);
    if (this._options.sendEmpty) this._touch();
  }

  /** @param {any} data */
  setData(data) {
    data = copy(data);
    if (!this._open()) return;
    this._data = data;
    if (data == null && !this._options.sendEmpty) this._close(DRAFT);
    else this._touch();
  }
}

/** Collects items, which the server adds up. */
export class AppendableBeacon extends PendingBeacon {
  /** @param {string} url @param {BeaconOptions} [options] */
  constructor(url, options) {
    super(url, options, "append");
  }

  /** @param {unknown} data anything for JSON @param {string} [name] */
  appendData(data, name) {
    this._add(data, name);
  }
}

/** Holds one value, of which the server keeps the last. */
export class ReplaceableBeacon extends PendingBeacon {
  /** @param {string} url @param {BeaconOptions} [options] */
  constructor(url, options) {
    super(url, options, "replace");
  }

  /** @param {unknown} data anything for JSON @param {string} [name] */
  replaceData(data, name) {
    this._add(data, name);
  }
}
