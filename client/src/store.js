/**
 * The crash store: records of unsent beacons in localStorage. A later page of
 * the same origin sends them, if the page that wrote them does not come to it.
 *
 * Each record has a key of its own, so that no tab ever rewrites another's. It
 * belongs to the page in that key for as long as the page's lease is fresh.
 */
import { DAY, bytes, nav, now, offline, page, quietly, setTimeout, w } from "./env.js";
import { hooks } from "./core.js";
import { parked, plug, unpark, wait } from "./transport.js";

/** @typedef {import("./transport.js").Parcel} Parcel */

const QUEUE = "bcn:q:";
const LEASE = "bcn:t:";

/** Records to write. @type {Map<string, Parcel>} */
const due = new Map();
/** Ids of the records there are. @type {Set<string>} */
const written = new Set();
/** Where records may be sent to. @type {string[] | undefined} */
let origins;
let left = false; // since pagehide

/** It throws where the browser keeps a page from storing. @returns {Record<string, string>} */
const storage = () => w.localStorage;

/** @param {string} prefix @returns {[string, string][]} value and key */
const records = (prefix) =>
  Object.entries(storage()).filter(([k]) => k.startsWith(prefix)).map(([k, v]) => [v, k]);

/** @param {string} id */
const key = (id) => `${QUEUE}${page}:${id}`;

const renew = () => quietly(() => written.size && !left && (storage()[LEASE + page] = `${now()}`));

/** @param {string} url */
const allowed = (url) => origins?.includes(new URL(url).origin);

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
      records(QUEUE).sort().reverse().map(([v, k], i) => {
        if (k !== key(id) && ((room -= bytes(v)) < 0 || i > 18)) delete storage()[k];
      });
      written.add(id);
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
  quietly(() => records("bcn:").map(([, k]) => delete storage()[k]));
};

/** Takes over what pages that are gone left behind. */
const take = () => {
  const t = now();
  records(QUEUE)
    // Hidden pages renew late, so a lease lasts three times the interval.
    .filter(([, k]) => !k.startsWith(key("")) && !(t - +storage()[LEASE + k.split(":")[2]] < 9e4))
    .sort()
    .slice(0, 20)
    .map(([v, k]) =>
      quietly(() => {
        delete storage()[k];
        const [_born, _id, _url, _method, body, form, _mode, _ids, credentials, _tries, _after] = JSON.parse(v);
        // Whoever wrote into the store must not make us send just anywhere.
        if (!allowed(_url) || !(Math.abs(t - _born) < DAY)) return;
        /** @type {Parcel} */
        const p = {
          _born, _id, _url, _mode, _ids, _after,
          _method: _method === "GET" ? _method : "POST",
          _body: () => (form ? new URLSearchParams(body) : body),
          _options: { credentials },
          _tries: +_tries || 0,
        };
        plug._save(p);
        parked.add(p);
        wait(p, 2e3);
      }),
    );
};

const recover = () => {
  if (!origins || offline() || plug._gate() < 1) return;
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
  const first = !origins;
  origins = to;
  if (!first) return;
  plug._save = (p, soon) => {
    // A record of what survives a crash without it would make a twin.
    if (plug._gate() < 1 || (p._later && !p._ids)) return plug._drop(p._id);
    if (!due.size) setTimeout(sync, 250);
    due.set(p._id, p);
    if (!soon) sync();
  };
  plug._drop = (id) => {
    due.delete(id);
    if (written.delete(id)) quietly(() => delete storage()[key(id)]);
  };
  plug._saved = (p) => written.has(p._id);
  hooks.push((event) => {
    if (event === "review") recover();
    if (event === "hidden") sync();
    if (event === "end") {
      sync();
      // Whoever comes next may have what is left.
      left = true;
      quietly(() => delete storage()[LEASE + page]);
    }
    if (event === "back") {
      left = false;
      renew();
      // What another page has taken over is no longer ours.
      for (const p of parked) if (written.has(p._id) && !quietly(() => storage()[key(p._id)])) unpark(p);
    }
  });
  const beat = () => {
    renew();
    setTimeout(beat, 3e4);
  };
  beat();
  recover();
  setTimeout(recover, 1e5);
};
