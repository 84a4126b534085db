/**
 * How bodies leave the page: which of the browser's functions takes them, how
 * much may be under way at once, and what is tried again.
 */
import { DAY, LIMIT, MINUTE, bytes, clearTimeout, doc, fetch, now, offline, page, quietly, sendBeacon, setTimeout } from "./env.js";

/**
 * A parcel is a request on its way: what a beacon was when it was sent.
 * @typedef {object} Parcel
 * @property {string} _id
 * @property {string} _url absolute
 * @property {string} _method
 * @property {(via: string) => any} _body made when it leaves, as it holds the time
 * @property {string} [_mode] of an envelope; the server that takes those gives answers
 * @property {unknown} _ids truthy if the receiver can tell twins, so that sending to be sure does no harm
 * @property {{credentials?: RequestCredentials, token?: string, onerror?: (f: Failure) => void}} _options
 * @property {number} _born
 * @property {number} _tries
 * @property {unknown} [_later] truthy while the browser holds it as well
 * @property {number} [_after] not before this time, by the server's wish
 * @property {any} [_timer]
 *
 * @typedef {object} Failure
 * @property {"size" | "status" | "attempts" | "expired" | "full" | "data" | "consent"} reason
 * @property {string} url
 * @property {number} [status]
 * @property {unknown} [error]
 */

/** What the store and the session put their own in. Alone there is neither. */
export const plug = {
  /** May beacons leave? 1 yes, 0 not yet, -1 never. */
  _gate: () => (/** @type {any} */ (doc).prerendering ? 0 : /** @type {number} */ (1)),
  /** @type {(p: Parcel, soon?: boolean) => unknown} writes a record, soon or at once */
  _save: () => {},
  /** @type {(id: string) => unknown} deletes a record */
  _drop: () => {},
  /** @type {(p: Parcel) => boolean} whether there is a record */
  _saved: () => false,
  /** @type {() => object} what an envelope says of the page view, as of its first item */
  _view: () => ({ pv: page }),
  /** @type {() => object} what an envelope says of the visitor, as of its sending */
  _who: () => ({ sid: page }),
  /** @type {(url: string) => string | undefined | false} the token of this page, for the endpoint that wrote it */
  _token: () => "",
  /** Keep records of what the browser took, for the next visit to send again? */
  _keep: false,
  /** @type {((f: Failure) => void) | undefined} */
  _onerror: undefined,
};

/** What waits to be tried again. @type {Set<Parcel>} */
export const parked = new Set();
let busy = 0; // bytes in keepalive requests under way
let requests = 0; // and their number

/**
 * @param {Pick<Parcel, "_url" | "_options">} p
 * @param {Failure["reason"]} reason
 * @param {number} [status]
 * @param {unknown} [error]
 */
export const report = ({ _url: url, _options }, reason, status, error) => {
  quietly(() => (_options.onerror || plug._onerror)?.({ reason, url, status, error }));
};

/** @type {(p: Parcel, reason: Failure["reason"], status?: number, error?: unknown) => void} */
const fail = (p, ...why) => {
  plug._drop(p._id);
  report(p, ...why);
};

/** @param {any} body @returns {number} */
const sizeOf = (body) =>
  body == null ? 0
  : body instanceof FormData ? [...body].reduce((n, [name, v]) => n + 500 + bytes(name) + (/** @type {any} */ (v).size ?? bytes(`${v}`)), 0)
  : body.byteLength ?? (body instanceof Blob ? body.size : bytes(`${body}`));

/**
 * What leaves: with the token that is the newest then, and that no record has. In a
 * body of the page's own there is no place for it.
 * @param {Parcel} p
 * @param {string} via
 * @returns {[url: string, body: any]}
 */
export const stamped = ({ _url: url, _mode, _body, _options }, via) => {
  const body = _body(via);
  const token = _options.token || plug._token(url);
  return token
    ? _mode ? [url, body.replace(',"k"', `,"tok":"${token}"$&`)] : [url + (url.includes("?") ? "&" : "?") + "_t=" + token, body]
    : [url, body];
};

/** @param {Parcel} p @param {any} body @returns {RequestInit} */
export const request = (p, body) => ({
  method: p._method,
  body,
  // As sendBeacon, which can do no other.
  credentials: p._options.credentials || "include",
  // With no-cors no permission is asked to read an answer that nobody reads, but
  // the types of some blobs would be taken away.
  mode: p._mode || (body?.type && !/^text\/plain/.test(body.type)) ? "cors" : "no-cors",
  cache: "no-store",
});

/**
 * Sends p; at the end of the page (bye) by what outlives the page.
 * @param {Parcel} p
 * @param {boolean} [bye]
 */
export const send = (p, bye) => {
  const { _id, _ids } = p;
  if (offline() || plug._gate() < 1) return park(p);
  if (now() - p._born > DAY) return fail(p, "expired");
  const [url, body] = stamped(p, bye ? "bye" : "now");
  const size = sizeOf(body);
  const small = busy + size <= LIMIT && requests < 9;
  if (bye) {
    if (size > LIMIT) return fail(p, "size");
    if (p._method > "P" && (p._options.credentials || "include") === "include" && quietly(() => sendBeacon?.(url, body))) {
      // There will be no answer.
      return plug._keep && _ids ? plug._save(p) : plug._drop(_id);
    }
    if (!small) return park(p);
  }
  // Without ids, a record that outlives the request would be sent as a twin.
  if (_ids) plug._save(p);
  else plug._drop(_id);
  const held = small ? size : 0;
  busy += held;
  requests += +small;
  p._tries++;
  // A promise even if fetch throws, as patched ones do.
  new Promise((done) => done(fetch(url, { ...request(p, body), keepalive: small })))
    .finally(() => {
      busy -= held;
      requests -= +small;
    })
    .then(({ ok, type, status, headers }) => {
      if (ok || type === "opaque") plug._drop(_id);
      else if (status > 499 || [408, 425, 429].includes(status)) {
        const after = headers.get("Retry-After"); // seconds or a date
        park(p, status, after ? now() + (+after * 1e3 || Date.parse(after) - Date.now() || 0) : 0);
      } else fail(p, "status", status);
      // It may have arrived, and only the answer did not: rather twice than never.
    }, (error) => park(p, 0, 0, error));
};

/**
 * Keeps p until it can be tried again.
 * @param {Parcel} p
 * @param {number} [status]
 * @param {number} [after]
 * @param {unknown} [error]
 */
const park = (p, status, after, error) => {
  if (plug._gate() < 0) return fail(p, "consent");
  if (p._tries > 4) return fail(p, "attempts", status, error);
  p._after = after;
  plug._save(p);
  parked.add(p);
  if (parked.size > 20) {
    const [oldest] = parked;
    unpark(oldest);
    fail(oldest, "full");
  }
  // Random in all of its length: clients that failed together must not return
  // together.
  wait(p, Math.min(60 * MINUTE, 2e3 * 2 ** p._tries));
};

/** Tries p again at a random time within ms. @param {Parcel} p @param {number} ms */
export const wait = (p, ms) => {
  clearTimeout(p._timer);
  p._timer = setTimeout(() => {
    if (!offline() && plug._gate() > 0 && unpark(p)) send(p);
  }, Math.min(DAY, Math.max(Math.random() * ms, (p._after || 0) - now())));
};

/** @param {Parcel} p */
export const unpark = (p) => {
  clearTimeout(p._timer);
  return parked.delete(p);
};

/** The last chance of what the store does not keep for the next visit. */
export const lastChance = () => {
  for (const p of [...parked]) {
    if (!p._after && !plug._saved(p) && unpark(p)) {
      p._tries = 5; // what fails now is given up
      send(p, true);
    }
  }
};
