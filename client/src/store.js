/**
 * The crash store: records of unsent beacons in localStorage. A later page of
 * the same origin sends them, if the page that wrote them does not come to it.
 *
 * Each record has a key of its own, so that no tab ever rewrites another's. It
 * belongs to the page in that key for as long as the page's lease is fresh.
 */
import { bare, bytes, clearTimeout, nav, now, offline, opener, page, quietly, setTimeout, storage } from "./env.js";
import { leaving, seen } from "./core.js";
import { isParams, wait } from "./transport.js";
import { begun, gate, settings } from "./session.js";

/** @typedef {import("./transport.js").Parcel} Parcel */

// The number is the version of the records: scripts of several share a store.
const QUEUE = "bcn:q1:";
const LEASE = "bcn:t:";

/** Records to write. @type {Map<string, Parcel>} */
const due = new Map();
/** Whose records there are, by id. @type {Map<string, Parcel>} */
const written = new Map();
/** Where this page sends to, without queries. @type {Set<string>} */
const targets = new Set();
/** @type {any} */
let timer;

/** @returns {[string, string][]} value and key, the oldest first */
const records = () =>
  Object.keys(storage()).filter((k) => k.startsWith(QUEUE)).map((k) => [storage()[k], k]).sort();

/** @param {string} id */
const key = (id) => `${QUEUE}${page}:${id}`;

/** @param {string} k */
const erase = (k) => quietly(() => delete storage()[k]);

/**
 * Whose the record k is: 0 this page's, 1 that of one that is gone, 2 of another that
 * lives. Hidden pages renew late, so a lease lasts three times the interval.
 * @param {string} k
 */
const owner = (k) => (k.startsWith(key("")) ? 0 : Math.abs(now() - storage()[LEASE + k.split(":")[2]]) < 9e4 ? 2 : 1);

export const renew = () => quietly(() => written.size && !leaving && (storage()[LEASE + page] = `${now()}`));

/** Says that beacons of this page go to url. @param {string} url */
export const aim = (url) => targets.add(bare(url));

/** Writes a record of p, soon or at once. @param {Parcel} p @param {boolean} [soon] */
export const save = (p, soon) => {
  if (!begun) return;
  // A record of what survives a crash without it would make a twin. So would, in
  // WebKit, one of a window that closes itself: what it deletes then stays.
  if (!gate() || (!p._ids && (p._later || (opener && !p._tries && !offline())))) return drop(p);
  if (!due.size) setTimeout(sync, 250);
  due.set(p._id, p);
  if (!soon) sync();
};

/** Deletes the record of p. @param {{_id: string}} p */
export const drop = ({ _id }) => {
  due.delete(_id);
  if (written.delete(_id)) erase(key(_id));
};

/**
 * The browser has p now, but may lose it: it keeps its record until there is an
 * answer. A page that goes into the back/forward cache is no page that is lost.
 * @param {Parcel} p
 */
export const handed = (p) => (p._ids && (settings.reliability || leaving < 2 || offline()) ? save : drop)(p);

/** Whether there is a record of p as it is. @param {Parcel} p */
export const saved = (p) => written.get(p._id)?._rev === p._rev;

/**
 * Whether another page has taken the record of p over, and sends it: it leaves its time
 * alone. A record that is not there at all was cleared by the page, or made room.
 * @param {Parcel} p
 */
export const gone = (p) => (p._ids ? saved(p) : written.has(p._id)) && quietly(() => storage()[key(p._id)].length < 20);

export const sync = () => {
  for (const [id, p] of due) {
    quietly(() => {
      const body = p._body("rec");
      const form = !!isParams(body);
      // Other types do not last.
      if ((body != null && !form && typeof body !== "string") || gone(p)) return;
      // Its time comes first, by which records are sorted.
      const text = JSON.stringify([
        p._born, id, p._url, p._method, form ? `${body}` : body, form, p._mode, p._ids, p._options.credentials, p._tries, p._after,
      ]);
      // The oldest make room, but none of another page that lives. Ours: the rest of
      // the store is the page's.
      let room = 2e5 - bytes(text);
      records().filter(([, k]) => k !== key(id)).reverse().sort(([, a], [, b]) => +(owner(b) > 1) - +(owner(a) > 1)).map(([v, k], i) => {
        if (((room -= bytes(v)) < 0 || i > 18) && owner(k) < 2) {
          written.delete(k.split(":")[3]);
          erase(k);
        }
      });
      storage()[key(id)] = text;
      written.set(id, p);
      renew();
    });
  }
  due.clear();
};

/** What is to be written or was is nothing any more. */
export const purge = () => {
  due.clear();
  written.clear();
};

/** Takes over what pages that are gone left behind. Returns how many. */
const take = () => {
  let n = 0;
  const t = now();
  // Of pages that were killed.
  Object.keys(storage()).map((k) => k.startsWith(LEASE) && !(Math.abs(t - +storage()[k]) < 864e5) && erase(k));
  records()
    .filter(([, k]) => owner(k) === 1)
    .map(([v, k]) =>
      quietly(() => {
        const [_born, _id, _url, _method, body, form, _mode, _ids, credentials, _tries, _after] = [].concat(quietly(() => JSON.parse(v)));
        if (!(Math.abs(t - _born) < 864e5)) return erase(k);
        // Whoever wrote into the store must not make us send just anywhere. What is
        // for others waits for them, and what can't be sent again for a page that is seen:
        // Firefox loses what a tab in the background is sending when it is closed.
        if (n > 19 || !(_ids || seen) || !(targets.has(bare(_url)) || `${settings.origins}`.split(/[\s,]+/).includes(new URL(_url).origin))) return;
        n++;
        /** @type {Parcel} */
        const p = {
          _born, _id, _url, _mode, _ids,
          _rev: 0,
          // Until all tabs can see that it is taken.
          _after: Math.max(+_after || 0, t + 500),
          _method: _method === "GET" ? _method : "POST",
          _body: () => (form ? new URLSearchParams(body) : body && `${body}`),
          _options: { credentials },
          _tries: +_tries || 0,
        };
        storage()[k] = `[${_born}]`;
        save(p);
        wait(p, 2e3);
      }),
    );
  return n;
};

export const recover = () => {
  renew();
  if (offline() || !gate()) return;
  // One page at a time, and only for this moment: who holds a lock is kept out
  // of the back/forward cache. So is, in Firefox 153, whoever asked for one with
  // ifAvailable and was refused; in the queue it is a moment too. After it the
  // processes of other tabs need a moment to see what has changed.
  if (nav.locks) nav.locks.request("bcn", () => take() && new Promise((done) => setTimeout(done, 300))).catch(() => {});
  else quietly(take);
};

/** A page has more urgent work when it begins. */
export const recoverSoon = () => {
  clearTimeout(timer);
  timer = setTimeout(recover, 1e3);
};

/** Whoever comes next may have what is left. */
export const letGo = () => {
  sync();
  // What the browser holds is the browser's, if it lives on.
  if (leaving > 1 && !settings.reliability && !offline()) written.forEach((p) => p._later && drop(p));
  erase(LEASE + page);
};
