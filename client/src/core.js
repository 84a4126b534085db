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
import { bytes, clearTimeout, doc, fetchLater, hidden, location, newId, now, offline, on, own, quietly, relisten, requestIdleCallback, setTimeout, w } from "./env.js";
import { isBlob, lastChance, parked, report, request, send, wait } from "./transport.js";
import { about, aim, drop, gate, gone, never, pageBack, pageEnds, pageHides, pageReviewed, pageShows, save, saved, stamped, sync, who } from "./plug.js";

/** @typedef {import("./transport.js").Parcel} Parcel */

// States of a beacon: 0 draft, nothing to send yet; 1 held; 2 done: on its way,
// sent, failed or given up.

/** All in state 1. @type {Set<PendingBeacon>} */
const held = new Set();
/** Whether anybody saw this page. A tab in the background is no page that ends. */
export let seen = !hidden();
/** Since pagehide: 1 if this page is about to end, 2 if it is to enter the back/forward cache. */
export let leaving = 0;
/** Until when it may be the browser that ends, and hid this page first. */
let doubt = 0;

/** @param {Iterable<PendingBeacon>} list @param {(b: PendingBeacon) => unknown} f */
const each = (list, f) => [...list].map((b) => quietly(() => open(b) && f(b)));

/** What decides about all beacons changed: policy or connection. */
export const review = () => {
  each(held, never() ? close : arrange);
  parked.forEach((p) => wait(p, 2e3));
  pageReviewed();
};

/** Sends all there is, now. */
export const flush = () => {
  each(held, (b) => b.sendNow());
  parked.forEach((p) => wait(p, 0));
};

/** @param {unknown} [ends] whether it is for good, or no timer runs any more */
const hide = (ends = leaving) => {
  doubt = ends ? 0 : now() + 250;
  pageHides();
  each(held, (b) => {
    if (b._background > 0 && !ends) {
      b._hideline = now() + Math.min(b._background, 18e5);
      arrange(b);
    } else part(b);
  });
  if (ends) lastChance();
  sync();
};

/** Not before the first beacon, so that loading this module does nothing. */
const listen = () => {
  if (relisten()) return;
  on(doc, "visibilitychange", () => {
    seen = true;
    if (hidden()) return hide();
    each(held, arrange);
    pageShows();
  });
  on(doc, "freeze", hide);
  // All browsers tell that the page is hidden after this, and Firefox loses much of
  // what is sent before.
  on(w, "pagehide", (e) => {
    leaving = e.persisted ? 2 : 1;
    if (hidden()) hide();
    pageEnds();
  });
  on(w, "pageshow", (e) => {
    leaving = 0;
    if (e.persisted) {
      pageBack();
      review();
    }
  });
  on(w, "online offline", review);
  on(doc, "prerenderingchange", review);
};

/**
 * The URL that beacons may go to, as it is now: a page changes its own.
 * @param {any} url
 * @returns {string} absolute, without fragment: nobody gets that, and the query comes to its end
 */
export const address = (url) => {
  // Not by a <base>, which is markup as any other; a frame of about:srcdoc has only that.
  const u = url != null && new URL(url, /^http/.test(location.href) ? location.href : doc.baseURI);
  // Like the browser: what does not leave the machine needs no TLS.
  if (!/^https:|^http:(127\.[\d.]+|\[::1]|(.+\.)?localhost)$/.test(u.protocol + u.hostname)) throw new TypeError("not https: " + url);
  u.hash = "";
  aim(u.href);
  return u.href;
};

/**
 * What data is now, whatever the page does to it later.
 * @param {any} data
 */
const copy = (data) => {
  if (data?.getReader) throw new TypeError("stream");
  if (data == null || isBlob(data)) return data;
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
  const activated = b._later?.activated;
  // Or another page took this one for dead, and its record.
  if (activated || gone(b)) {
    const rest = activated && b._mode && b._data.slice(b._told);
    close(b);
    // What came after the browser had it.
    if (rest?.[0]) {
      renew(b, b._view);
      b._data = rest;
      touch(b);
    }
  }
  return b._state < 2;
};

/** @param {PendingBeacon} b @param {number} [on] whether it goes on its way, where its record is looked after */
const close = (b, on) => {
  b._state = 2;
  held.delete(b);
  release(b);
  if (!on) drop(b);
};

/** Ends what would send b. @param {PendingBeacon} b */
const release = (b) => {
  clearTimeout(b._timer);
  b._abort?.abort();
  b._later = 0;
};

/** Begins a request. @param {PendingBeacon} b @param {any} [view] */
const renew = (b, view = about()) => {
  b._id = newId();
  b._rev = b._state = 0;
  b._hideline = Infinity;
  b._born = now();
  b._view = view;
  b._data = null;
};

/** timeout counts from now. @param {PendingBeacon} b */
const restart = (b) => {
  b._deadline = b._timeout < 0 ? Infinity : now() + b._timeout;
  schedule(b);
};

/** The content of b changed. @param {PendingBeacon} b */
const touch = (b) => {
  b._rev++;
  if (!b._state) {
    if (never() || (!gate() && held.size > 49)) {
      close(b);
      return report(b, "consent");
    }
    b._state = 1;
    held.add(b);
    restart(b);
  }
  schedule(b);
};

/**
 * Changes in a row are registered with the browser once. That takes time, so that an
 * envelope that is registered waits a moment: what comes meanwhile is carried over.
 * @param {PendingBeacon} b
 */
const schedule = (b) => {
  if (b._due) return;
  b._due = true;
  const go = () => {
    b._due = false;
    each([b], arrange);
  };
  const ms = b._at + 100 - now();
  if (b._later && b._mode && ms > 0 && !hidden()) setTimeout(go, ms);
  else queueMicrotask(go);
};

/**
 * A browser that quits sends what it holds, also what is taken back meanwhile. While in
 * doubt, what it holds as it is, and has no ids by which to tell the twin, is left to it.
 * Timers of hidden pages are up to a second late, in which the browser may be killed.
 * @param {PendingBeacon} b
 */
const leave = (b) => {
  const timeout = doubt - now();
  return timeout > 0 && b._later && !b._ids && b._told === b._rev && gate() && !offline() && requestIdleCallback?.(() => each([b], arrange), { timeout });
};

/** Has b sent when it has to be. @param {PendingBeacon} b */
const arrange = (b) => {
  if (!b._state || leave(b)) return;
  if (b._left) return sendOff(b);
  release(b);
  if (!gate()) return;
  if (!hidden()) b._hideline = Infinity;
  // A page that is hidden may be killed, and the browser too.
  else if (leaving || ((seen || b._mode) && !(b._background > 0))) return part(b);
  const t = now();
  const end = Math.min(b._deadline, b._hideline);
  const left = Math.max(0, end - t);
  const p = parcel(b);
  if (fetchLater && !offline()) {
    b._abort = new AbortController();
    const [url, body] = stamped(p, "later");
    // It throws if it has too much to hold already, or if policy says no.
    p._later = b._later = quietly(() =>
      fetchLater(url, {
        ...request(p, body),
        signal: b._abort.signal,
        // Without it, browsers do not send early what they are about to lose.
        // A little late, as our own timer can try again.
        activateAfter: Math.min(left + 500, 18e5),
      }),
    );
    b._told = b._mode ? b._data.length : b._rev;
    b._at = t;
  }
  save(p, !hidden());
  // The browser must not end the wait of a page that is in use.
  b._timer = setTimeout(() => {
    // Offline it is better held than sent into the void.
    if (now() < end) each([b], arrange);
    else if (!offline()) sendOff(b);
  }, Math.min(left, 9e5));
};

/**
 * Puts an item into an envelope.
 * @param {PendingBeacon} b
 * @param {unknown} d
 * @param {string} [e]
 */
export const add = (b, d, e) => {
  // First: it may run code of the page, which adds items.
  const json = JSON.stringify({ t: now(), e, d: d ?? null });
  if (b._off) return;
  const item = `{"n":${b._n + 1},` + json.slice(1);
  const size = bytes(item) + 1;
  const fresh = () => {
    renew(b);
    b._data = [];
    b._size = 3e3; // for the rest: ids, times, the address of the page, a token
  };
  if (!b._data || !open(b)) fresh();
  const { length } = b._data;
  const large = b._size + size > 6e4;
  if (b._mode > "b") {
    if (large) throw new RangeError("too large");
    b._data = [];
    b._told = 0;
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
  const data = b._data;
  const { idParam } = b._options;
  const url = b._url;
  return {
    ...b,
    _url: idParam ? address(url + (url.includes("?") ? "&" : "?") + `${idParam}=${b._id}.${b._rev}`) : url,
    _body: b._mode ? seal(b) : () => data,
    _tries: 0,
  };
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
  const { _state } = b;
  close(b, _state);
  if (_state) send(parcel(b), b._left || leaving || hidden());
};

/** When the page is hidden, or ends. @param {PendingBeacon} b */
const part = (b) => {
  if (!gate()) return;
  // Firefox ends tabs in the background too soon for what they send then, so that what
  // has a record is left to it.
  if (saved(b) && leaving && !seen && !b._ids) return;
  if (offline() ? !(leaving && b._ids) : b._options.onHidden && !leaving) save(parcel(b));
  // What the browser holds as it is, it sends at the end.
  // What is left to it for a moment is not pending any more, as everything else.
  else if (!(leaving ? b._later && !b._due : (b._left = leave(b)))) sendOff(b);
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
    const b = this;
    const { timeout = -1, backgroundTimeout = -1, key, idParam } = (b._options = own(options));
    b._url = address(url);
    b._given = `${url}`;
    // As IDL has it for long.
    b._timeout = timeout | 0;
    b._background = backgroundTimeout | 0;
    // As sendBeacon, which can do no other.
    b._options.credentials ||= "include";
    b._ids = mode || idParam;
    b._mode = mode;
    b._method = method;
    b._key = `${key ?? newId()}`;
    b._n = 0; // items ever
    renew(b);
    listen();
  }

  get url() {
    return this._given;
  }

  get method() {
    return this._method;
  }

  /** Of an envelope: whether it has something that was not sent. */
  get pending() {
    return open(this) && !this._left && !(this._mode && !this._state);
  }

  get timeout() {
    return this._timeout;
  }

  set timeout(ms) {
    if (usable(this)) {
      this._timeout = ms | 0;
      restart(this);
    }
  }

  get backgroundTimeout() {
    return this._background;
  }

  set backgroundTimeout(ms) {
    if (usable(this)) {
      this._background = ms | 0;
      this._hideline = Infinity;
      schedule(this);
    }
  }

  sendNow() {
    if (!this.pending) return;
    if (gate()) sendOff(this);
    else this._deadline = 0; // as soon as it may be

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
    const to = address(url);
    if (open(this)) {
      this._url = to;
      this._given = `${url}`;
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
