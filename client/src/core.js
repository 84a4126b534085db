/**
 * The beacons: PendingGetBeacon and PendingPostBeacon of the Page Unload Beacon
 * explainer, and its two of a higher level.
 *
 * A beacon is held until a timer, the page or the end of the page sends it. If
 * the browser has fetchLater, it holds the beacon too, and sends it even if the
 * page crashes. Otherwise this module watches the life of the page and sends at
 * the last event that every browser delivers.
 *
 * What beacons do by themselves are functions here and not methods: it is less to
 * load, and nothing that a page can call.
 */
import { bytes, clearTimeout, doc, fetchLater, hidden, newId, now, offline, on, quietly, setTimeout, w } from "./env.js";
import { lastChance, parked, report, request, send, stamped, wait } from "./transport.js";
import { about, drop, emit, gate, save, who } from "./plug.js";

/** @typedef {import("./transport.js").Parcel} Parcel */

// States of a beacon: 0 draft, nothing to send yet; 1 held; 2 done: on its way,
// sent, failed or given up.

/** All in state 1. @type {Set<PendingBeacon>} */
const held = new Set();
/** To be arranged anew. @type {Set<PendingBeacon>} */
const changed = new Set();
/** What was sent in pagehide, and is sent once more after it. @type {Parcel[]} */
const twins = [];
/** Since pagehide: this page is about to end, or to enter the back/forward cache. */
let leaving = false;
let listening = false;

/** @param {Iterable<PendingBeacon>} list @param {(b: PendingBeacon) => unknown} f */
const each = (list, f) => [...list].map((b) => quietly(() => open(b) && f(b)));

const settle = () => {
  const list = [...changed];
  changed.clear();
  each(list, arrange);
};

/** What decides about all beacons changed: policy or connection. */
export const review = () => {
  each(held, gate() < 0 ? close : arrange);
  for (const p of parked) wait(p, 2e3);
  emit("review");
};

const ending = () => {
  emit("hide");
  settle();
};

/** @param {unknown} [frozen] no timer runs any more */
const hide = (frozen) => {
  ending();
  each(held, (b) => (b._background > 0 && !leaving && !frozen ? arrange : flush)(b));
  // Firefox loses much of what is sent in pagehide; other browsers may have no
  // other event. The receiver tells twins by their ids.
  twins.splice(0).map((p) => send(p, 1));
  if (leaving || frozen) lastChance();
  emit("hidden");
};

/** Not before the first beacon, so that loading this module does nothing. */
const listen = () => {
  if (listening) return;
  listening = true;
  on(doc, "visibilitychange", () => {
    if (hidden()) return hide();
    each(held, arrange);
    emit("show");
  });
  on(doc, "freeze", hide);
  on(w, "pagehide", () => {
    leaving = true;
    if (hidden()) hide(); // no other event follows
    else {
      ending();
      // visibilitychange follows and delivers better, so what has no ids waits
      // for it. Should it not come, there is the store.
      each(held, (b) => b._later || leave(b));
    }
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

/** @param {any} url */
export const resolve = (url) => new URL(url, doc.baseURI);

/**
 * @param {any} url
 * @returns {string} url as given, if beacons may go there
 */
export const checkURL = (url) => {
  // Like the browser: what does not leave the machine needs no TLS.
  const u = url != null && resolve((url = `${url}`));
  if (!/^https:|^http:(127\.[\d.]+|\[::1]|(.+\.)?localhost)$/.test(u.protocol + u.hostname)) throw new TypeError("not https: " + url);
  return url;
};

/** A number as IDL's long; without one, none. @param {any} n */
const long = (n) => (n === undefined ? -1 : n | 0);

/**
 * What data is now, whatever the page does to it later.
 * @param {any} data
 */
const copy = (data) => {
  if (data?.getReader) throw new TypeError("stream");
  if (data == null || data instanceof Blob) return data;
  if (data.byteLength >= 0) return new Uint8Array(data.buffer || data, data.byteOffset, data.byteLength).slice();
  if (!data.getAll) return `${data}`;
  const same = new /** @type {any} */ (data.constructor)();
  for (const [k, v] of data) same.append(k, v);
  return same;
};

/** Whether b may be changed. @param {PendingBeacon} b */
const usable = (b) => (b._mode ? !b._off : open(b));

/** Whether the content of b may still change: the browser may have sent it by now. @param {PendingBeacon} b */
const open = (b) => {
  if (b._later?.activated) close(b);
  return b._state < 2;
};

/** @param {PendingBeacon} b */
const close = (b) => {
  b._state = 2;
  held.delete(b);
  release(b);
  drop(b);
};

/** Ends what would send b. @param {PendingBeacon} b */
const release = (b) => {
  clearTimeout(b._timer);
  b._abort?.abort();
  b._later = 0;
};

/** Begins a request. @param {PendingBeacon} b */
const renew = (b) => {
  b._id = newId();
  b._rev = b._state = b._hideline = 0;
  b._born = now();
  b._view = about();
  b._data = null;
};

/** timeout counts from now. @param {PendingBeacon} b */
const restart = (b) => {
  b._deadline = now() + b._timeout;
  schedule(b);
};

/** The content of b changed. @param {PendingBeacon} b */
const touch = (b) => {
  b._rev++;
  if (!b._state) {
    const may = gate();
    if (may < 0 || (!may && held.size > 49)) {
      close(b);
      return report(b, "consent");
    }
    b._state = 1;
    held.add(b);
    restart(b);
  }
  schedule(b);
};

/** Changes in a row are registered with the browser once. @param {PendingBeacon} b */
const schedule = (b) => {
  if (!changed.size) queueMicrotask(settle);
  changed.add(b);
};

/** Has b sent when it has to be. @param {PendingBeacon} b */
const arrange = (b) => {
  if (!b._state) return;
  release(b);
  if (gate() < 1) return;
  const t = now();
  let end = b._timeout < 0 ? Infinity : b._deadline;
  if (!hidden()) b._hideline = 0;
  else if (b._background >= 0) end = Math.min(end, (b._hideline ||= t + Math.min(b._background, 18e5)));
  const left = Math.max(0, end - t);
  const p = parcel(b);
  if (fetchLater && !offline()) {
    b._abort = new AbortController();
    const [url, body] = stamped(p, "later");
    // It throws if it has too much to hold already, or if policy says no.
    b._later = quietly(() =>
      fetchLater(url, {
        ...request(p, body),
        signal: b._abort.signal,
        // Without it, browsers do not send early what they are about to lose.
        // A little late, as our own timer can try again.
        activateAfter: Math.min(left + 500, 18e5),
      }),
    );
  }
  if (!b._later) {
    if (hidden() && (leaving || !(b._background > 0))) return flush(b);
    if (leaving) return leave(b);
  }
  p._later = b._later;
  save(p, !hidden());
  if (left < Infinity || b._later) {
    // The browser must not end the wait of a page that is in use.
    b._timer = setTimeout(() => {
      // Offline it is better held than sent into the void.
      if (now() < end) open(b) && arrange(b);
      else if (!offline()) sendOff(b);
    }, Math.min(left, 9e5));
  }
};

/**
 * Puts an item into an envelope.
 * @param {PendingBeacon} b
 * @param {unknown} d
 * @param {string} [e]
 */
const add = (b, d, e) => {
  const item = JSON.stringify({ n: b._n + 1, t: now(), e, d: d ?? null });
  const size = bytes(item) + 1;
  if (b._off) return;
  const fresh = () => {
    renew(b);
    b._data = [];
    // With room for what grows: revision, times, ids.
    b._size = bytes(seal(b)("later")) + 99;
  };
  if (!b._data || !open(b)) fresh();
  const { length } = b._data;
  const large = b._size + size > 6e4;
  if (b._mode > "b") {
    if (large) throw new RangeError("too large");
    b._data = [];
  } else {
    if (length > 49 && !gate()) return report(b, "consent");
    if (length && large) {
      sendOff(b);
      fresh();
    }
    b._size += size;
  }
  b._data.push(item);
  b._n++;
  touch(b);
};

/** @param {PendingBeacon} b @returns {Parcel} */
const parcel = (b) => {
  const url = resolve(b._url);
  const data = b._data;
  const { idParam } = b._options;
  url.hash = ""; // nobody gets it, and the query comes to its end
  // By hand: searchParams would rewrite the rest of the query.
  if (idParam) url.search += `${url.search && "&"}${idParam}=${b._id}.${b._rev}`;
  return { ...b, _url: url.href, _body: b._mode ? seal(b) : () => data, _tries: 0 };
};

/** @param {PendingBeacon} b @returns {(via: string) => string} what makes an envelope of it as it is now */
const seal = (b) => {
  const head = { v: 1, m: b._mode, k: b._key, b: b._id, r: b._rev, ...who(), ...b._view };
  const items = `${b._data}`;
  return (via) => JSON.stringify({ ...head, via, at: now(), ev: 0 }).slice(0, -2) + `[${items}]}`;
};

/** @param {PendingBeacon} b */
const sendOff = (b) => {
  if (!open(b)) return;
  release(b);
  const p = b._state && parcel(b);
  close(b);
  if (!p) return;
  if (leaving && !hidden()) {
    twins.push(p);
    if (!p._ids) return save(p); // once is all it may be sent
  }
  send(p, leaving || hidden());
};

/** In pagehide, while the page is visible. @param {PendingBeacon} b */
const leave = (b) => {
  if (gate() < 1) return;
  if (b._ids && !offline()) sendOff(b);
  else save(parcel(b));
};

/** When the page is hidden. @param {PendingBeacon} b */
const flush = (b) => {
  if (gate() < 1) return;
  if (offline() || (b._options.onHidden && !leaving)) save(parcel(b));
  else if (!b._later || (!b._background && !leaving)) sendOff(b);
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
  /**
   * @param {string} url
   * @param {BeaconOptions} [options]
   * @param {string} [mode] "append" or "replace" for one that sends envelopes, again and again
   * @param {string} [method]
   */
  constructor(url, options, mode, method = "POST") {
    if (new.target === PendingBeacon) throw new TypeError("abstract");
    this._url = checkURL(url);
    const { timeout, backgroundTimeout, key, idParam } = (this._options = { ...options });
    this._timeout = long(timeout);
    this._background = long(backgroundTimeout);
    // As sendBeacon, which can do no other.
    this._options.credentials ||= "include";
    this._ids = mode || idParam;
    this._mode = mode;
    this._method = method;
    this._key = `${key ?? newId()}`;
    this._n = 0; // items ever
    renew(this);
    listen();
  }

  get url() {
    return this._url;
  }

  get method() {
    return this._method;
  }

  /** Of an envelope: whether it has something that was not sent. */
  get pending() {
    return open(this) && !(this._mode && !this._state);
  }

  get timeout() {
    return this._timeout;
  }

  set timeout(ms) {
    if (usable(this)) {
      this._timeout = long(ms);
      restart(this);
    }
  }

  get backgroundTimeout() {
    return this._background;
  }

  set backgroundTimeout(ms) {
    if (usable(this)) {
      this._background = long(ms);
      this._hideline = 0;
      schedule(this);
    }
  }

  sendNow() {
    if (this.pending) sendOff(this);
  }

  deactivate() {
    this._off = true;
    if (open(this)) close(this);
  }
}

/** A GET request, held from the start. */
export class PendingGetBeacon extends PendingBeacon {
  /** @param {string} url @param {BeaconOptions} [options] */
  constructor(url, options) {
    super(url, options, "", "GET");
    touch(this);
  }

  /** @param {string} url */
  setURL(url) {
    url = checkURL(url);
    if (open(this)) {
      this._url = url;
      touch(this);
    }
  }
}

/** A POST request, held while it has data. */
export class PendingPostBeacon extends PendingBeacon {
  /** @param {string} url @param {BeaconOptions} [options] */
  constructor(url, options) {
    super(url, options);
    if (this._options.sendEmpty) touch(this);
  }

  /** @param {any} data */
  setData(data) {
    data = copy(data);
    if (!open(this)) return;
    this._data = data;
    if (data != null || this._options.sendEmpty) touch(this);
    else {
      close(this);
      this._state = 0;
    }
  }
}

/**
 * A beacon of a higher level, with its method.
 * @param {string} mode
 * @returns {any}
 */
const series = (mode) =>
  class extends PendingBeacon {
    /** @param {string} url @param {BeaconOptions} [options] */
    constructor(url, options) {
      super(url, options, mode);
    }

    /** @param {unknown} data anything for JSON @param {string} [name] */
    [mode + "Data"](data, name) {
      add(this, data, name);
    }
  };

/** Collects items, which the server adds up: appendData(data, name). */
export const AppendableBeacon = series("append");

/** Holds one value, of which the server keeps the last: replaceData(data, name). */
export const ReplaceableBeacon = series("replace");
