/**
 * How bodies leave the page: which of the browser's functions takes them, how
 * much may be under way at once, and what is tried again.
 */
import { bytes, canKeep, clearTimeout, fetch, now, offline, origin, quietly, sendBeacon, setTimeout } from "./env.js";
import { leaving } from "./core.js";
import { drop, gate, gone, handed, never, save, saved, settings, stamped } from "./plug.js";

/**
 * A parcel is a request on its way: what a beacon was when it was sent.
 * @typedef {object} Parcel
 * @property {string} _id
 * @property {string} _url absolute
 * @property {string} _method
 * @property {import("./core.js").BeaconOptions} _options
 * @property {(via: string) => any} _body made when it leaves, as it holds the time
 * @property {string} [_mode] of an envelope; the server that takes those gives answers
 * @property {unknown} _ids truthy if the receiver can tell twins, so that sending to be sure does no harm
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

/** What waits to be tried again. @type {Set<Parcel>} */
export const parked = new Set();
let busy = 0; // bytes in keepalive requests under way
let requests = 0; // and their number
let telling = false;

/**
 * Tells the page, but not what it does about it.
 * @param {Pick<Parcel, "_url" | "_options">} p
 * @param {Failure["reason"]} reason
 * @param {number} [status]
 * @param {unknown} [error]
 */
export const report = (p, reason, status, error) => {
  if (telling) return;
  telling = true;
  quietly(() => (p._options.onerror || settings.onerror)?.({ reason, url: p._url, status, error }));
  telling = false;
};

/** @type {(p: Parcel, reason: Failure["reason"], status?: number, error?: unknown) => void} */
const fail = (p, ...why) => {
  drop(p);
  report(p, ...why);
};

// By what they can do: objects of another frame have other classes.
/** @param {any} body */
export const isParams = (body) => body?.getAll && body.sort;

/** @param {any} body */
export const isBlob = (body) => body?.arrayBuffer;

/** @param {any} body @returns {number} */
const sizeOf = (body) =>
  body?.getAll && !body.sort ? [...body].reduce((n, [name, v]) => n + 500 + bytes(name) + sizeOf(v), 0)
  : body?.byteLength ?? (isBlob(body) ? body.size : bytes(`${body ?? ""}`));

/** @param {Parcel} p @param {any} body @returns {RequestInit} */
export const request = (p, body) => ({
  method: p._method,
  body,
  credentials: p._options.credentials,
  cache: "no-store",
});

/**
 * Sends p; if the page is hidden or ends (bye) by what outlives it. When a tab is
 * closed more comes through of fetch than of sendBeacon, which in some browsers has room
 * of its own.
 * @param {Parcel} p
 * @param {unknown} [bye]
 */
export const send = async (p, bye) => {
  // "Offline" may be wrong, and there will be no other chance.
  if (!gate() || (offline() && !(leaving && p._ids))) return park(p);
  // Another page took this one for dead, and its record.
  if (gone(p)) return;
  if (now() - p._born > 864e5) return fail(p, "expired");
  const [url, body] = stamped(p, bye ? "bye" : "now");
  let size = sizeOf(body);
  const keepalive = canKeep && busy + size <= 6e4 && (!!bye || requests < 9);
  if (bye && !keepalive) {
    // It always includes cookies, and there will be no answer.
    if (size <= 6e4 && !offline() && p._method > "P" && p._options.credentials === "include" && quietly(() => sendBeacon?.(url, body))) return handed(p);
    if (leaving) return size > 6e4 ? fail(p, "size") : park(p);
  }
  // Without ids, a record that outlives the request would be sent as a twin.
  handed(p);
  if (keepalive) requests++;
  else size = 0;
  busy += size;
  p._tries++;
  /** @type {any} */
  let answer = {};
  let error;
  try {
    answer = await fetch(url, { ...request(p, body), keepalive });
  } catch (e) {
    // It may have arrived, and only the answer did not: rather twice than never.
    error = e;
  }
  busy -= size;
  if (keepalive) requests--;
  const { ok, status, headers } = answer;
  // A service worker that answers for a server that is away says 200, and the server
  // says 204 to envelopes.
  if (status === 204 || (ok && !p._mode)) drop(p);
  // The end of a page rejects what the browser goes on sending, and another origin may
  // take it and not let us know: of those there must be no twins.
  else if (status == null && !p._ids && (bye || leaving || new URL(url).origin !== origin)) fail(p, "attempts", 0, error);
  else if (status == null || ok || /^5|408|425|429/.test(status)) {
    const after = headers?.get("Retry-After"); // seconds or a date
    park(p, status, after && now() + (+after * 1e3 || Date.parse(after) - Date.now() || 0), error);
  } else fail(p, "status", status);
};

/**
 * Keeps p until it can be tried again.
 * @param {Parcel} p
 * @param {number} [status]
 * @param {any} [after]
 * @param {unknown} [error]
 */
const park = (p, status, after, error) => {
  if (never()) return fail(p, "consent");
  if (p._tries > 4) return fail(p, "attempts", status, error);
  p._after = after;
  save(p);
  // Random in all of its length: clients that failed together must not return
  // together.
  wait(p, Math.min(36e5, 2e3 * 2 ** p._tries));
  if (parked.size > 20) {
    const [oldest] = parked;
    parked.delete(oldest);
    fail(oldest, "full");
  }
};

/** Parks p, and tries it again at a random time within ms. @param {Parcel} p @param {number} ms */
export const wait = (p, ms) => {
  parked.add(p);
  clearTimeout(p._timer);
  p._timer = setTimeout(() => {
    if (!offline() && gate() && parked.delete(p)) send(p);
  }, Math.min(864e5, Math.max(Math.random() * ms, p._after - now() || 0)));
};

/** The last chance of what the store does not keep for the next visit. */
export const lastChance = () =>
  (!offline() || leaving === 1) &&
  parked.forEach((p) => {
    if (!p._after && !saved(p) && parked.delete(p)) {
      p._tries = 5; // what fails now is given up
      send(p, 1);
    }
  });
