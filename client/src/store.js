/**
 * The crash store: records of unsent beacons in localStorage. A later page of
 * the same origin sends them, if the page that wrote them does not come to it.
 *
 * Each record has a key of its own, so that no tab ever rewrites another's. It
 * belongs to the page in that key for as long as the page's lease is fresh.
 */
import { bytes, nav, now, offline, page, quietly, setTimeout, w } from "./env.js";
import { parked, unpark, wait } from "./transport.js";
import { gate, settings } from "./session.js";

/** @typedef {import("./transport.js").Parcel} Parcel */

const QUEUE = "bcn:q:";
const LEASE = "bcn:t:";

/** Records to write. @type {Map<string, Parcel>} */
const due = new Map();
/** Whose records there are, by id. @type {Map<string, Parcel>} */
const written = new Map();
/** Where records may be sent to. @type {string[] | undefined} */
let origins;
let left = false; // since pagehide

/** It throws where the browser keeps a page from storing. @returns {Record<string, string>} */
export const storage = () => w.localStorage;

/** @param {string} prefix @returns {[string, string][]} value and key, the oldest first */
const records = (prefix) =>
  Object.keys(storage()).filter((k) => k.startsWith(prefix)).map((k) => [storage()[k], k]).sort();

/** @param {string} id */
const key = (id) => `${QUEUE}${page}:${id}`;

/** @param {string} k */
const erase = (k) => quietly(() => delete storage()[k]);

const renew = () => quietly(() => written.size && !left && (storage()[LEASE + page] = `${now()}`));

/** @param {string} url */
const allowed = (url) => origins.includes(new URL(url).origin);

/** Writes a record of p, soon or at once. @param {Parcel} p @param {boolean} [soon] */
export const save = (p, soon) => {
  if (!origins) return;
  // A record of what survives a crash without it would make a twin.
  if (gate() < 1 || (p._later && !p._ids)) return drop(p);
  if (!due.size) setTimeout(sync, 250);
  due.set(p._id, p);
  if (!soon) sync();
};

/** Deletes the record of p. @param {{_id: string}} p */
export const drop = ({ _id }) => {
  due.delete(_id);
  if (written.delete(_id)) erase(key(_id));
};

/** The browser took p, but may lose it. @param {Parcel} p */
export const taken = (p) => (settings.reliability && p._ids ? save : drop)(p);

/** Whether there is a record of p. @param {Parcel} p */
export const saved = (p) => written.has(p._id);

const sync = () => {
  for (const [id, p] of due) {
    quietly(() => {
      const body = p._body("rec");
      const form = body instanceof URLSearchParams;
      // Other types do not last.
      if ((body != null && !form && typeof body !== "string") || !allowed(p._url)) return;
      // Its time comes first, by which records are sorted.
      const text = JSON.stringify([
        p._born, id, p._url, p._method, form ? `${body}` : body, form, p._mode, p._ids, p._options.credentials, p._tries, p._after,
      ]);
      // The oldest make room. Ours: the rest of the store is the page's.
      let room = 2e5 - bytes(text);
      records(QUEUE).reverse().map(([v, k], i) => {
        if (k !== key(id) && ((room -= bytes(v)) < 0 || i > 18)) erase(k);
      });
      written.set(id, p);
      renew();
      storage()[key(id)] = text;
    });
  }
  due.clear();
};

/** Deletes all that the client ever stored. */
export const purge = () => {
  due.clear();
  written.clear();
  quietly(() => records("bcn:").map(([, k]) => erase(k)));
};

/** Takes over what pages that are gone left behind. */
const take = () => {
  const t = now();
  records(QUEUE)
    // Hidden pages renew late, so a lease lasts three times the interval.
    .filter(([, k]) => !k.startsWith(key("")) && !(t - +storage()[LEASE + k.split(":")[2]] < 9e4))
    .slice(0, 20)
    .map(([v, k]) =>
      quietly(() => {
        erase(k);
        const [_born, _id, _url, _method, body, form, _mode, _ids, credentials, _tries, _after] = JSON.parse(v);
        // Whoever wrote into the store must not make us send just anywhere.
        if (!allowed(_url) || !(Math.abs(t - _born) < 864e5)) return;
        /** @type {Parcel} */
        const p = {
          _born, _id, _url, _mode, _ids, _after,
          _method: _method === "GET" ? _method : "POST",
          _body: () => (form ? new URLSearchParams(body) : body),
          _options: { credentials },
          _tries: +_tries || 0,
        };
        save(p);
        parked.add(p);
        wait(p, 2e3);
      }),
    );
};

const recover = () => {
  if (!origins || offline() || gate() < 1) return;
  // One page at a time, and only for this moment: who holds a lock is kept out
  // of the back/forward cache. So is, in Firefox 153, whoever asked for one with
  // ifAvailable and was refused; in the queue it is a moment too.
  if (nav.locks) nav.locks.request("bcn", take).catch(() => {});
  else quietly(take);
};

/**
 * Begins to store and to recover.
 * @param {string[]} to the origins that may be sent to
 */
export const openStore = (to) => {
  if (!origins) setTimeout(recover, 1e5);
  origins = to;
};

/** What it does when something happens to the page: see emit. @type {Record<string, () => unknown>} */
export const store = {
  review: recover,
  beat: renew,
  hidden: sync,
  end() {
    sync();
    // What the browser holds is the browser's.
    if (!settings.reliability && !offline()) written.forEach((p) => p._later && drop(p));
    // Whoever comes next may have what is left.
    left = true;
    erase(LEASE + page);
  },
  back() {
    left = false;
    renew();
    // What another page has taken over is no longer ours.
    for (const p of parked) if (saved(p) && !quietly(() => storage()[key(p._id)])) unpark(p);
  },
};
