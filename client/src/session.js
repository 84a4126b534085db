/**
 * What the server is told about: sessions, page views, engaged time and a log,
 * and whether the visitor agrees to any of it.
 */
import { bare, doc, hidden, location, nav, newId, now, on, page, quietly, setTimeout, w } from "./env.js";
import { AppendableBeacon, ReplaceableBeacon, address, review } from "./core.js";
import { parked, report, unpark } from "./transport.js";
import { openStore, purge, storage, store } from "./store.js";

/**
 * @typedef {object} InitOptions
 * @property {string} [endpoint]
 * @property {string} [token]
 * @property {"required" | "granted"} [consent]
 * @property {"block" | "flag"} [gpc]
 * @property {string[]} [origins]
 * @property {"atLeastOnce"} [reliability]
 * @property {boolean} [page]
 * @property {(f: import("./transport.js").Failure) => void} [onerror]
 */

/** @type {InitOptions} */
export let settings = { endpoint: "/_pb" };
let begun = false;
let target = ""; // the endpoint, without a query
let agreed = "granted";
let viewId = page;
/** @type {AppendableBeacon} */
let events;
/** @type {ReplaceableBeacon} */
let totals;

// Times of the page view, in milliseconds.
let start = 0;
let end = 0;
let visible = 0;
let engaged = 0;
let reported = 0; // visible, when it was last reported
let counted = 0; // up to when all is accounted for
let attention = 0; // since then: 0 hidden, 1 visible, 2 focused
let input = 0; // when the visitor last did something
let known = ""; // the session
let asked = -1e3; // when

/** Whether the browser says that its user does not want this. */
const gpc = () => nav.globalPrivacyControl === true;

/** May beacons leave? 1 yes, 0 not yet, -1 never. */
export const gate = () =>
  agreed === "denied" || (settings.gpc !== "flag" && begun && gpc()) ? -1 : agreed !== "granted" || doc.prerendering ? 0 : 1;

/** What an envelope says of the page view, as of its first item. */
export const about = () => ({ pv: viewId, page: settings.page === false ? undefined : location.href?.split("#")[0].slice(0, 2e3) });

/** What an envelope says of the visitor, as of its sending. */
export const who = () => ({ sid: sessionId(), gpc: gpc() ? 1 : undefined });

/** The token of this page, for the endpoint that wrote it. @param {string} url */
export const token = (url) => bare(url) === target && settings.token;

/**
 * The id of the session, which goes on by this: a new one after 30 minutes of
 * nothing or after a day. Where nothing may be stored, this page is all of it.
 */
const sessionId = () =>
  quietly(() => {
    if (!begun || gate() < 1) return;
    const t = now();
    // Each change of a beacon asks, and the store is slow.
    if (t - asked < 1e3) return known;
    const items = storage();
    let s = quietly(() => JSON.parse(items["bcn:s"])) || {};
    if (!(t - s.last < 18e5 && t - s.first < 864e5)) s = { id: s.id ? newId() : page, first: t };
    // What is sent from a hidden page is no sign of life.
    if (!s.last || !hidden()) s.last = t;
    items["bcn:s"] = JSON.stringify(s);
    asked = t;
    return (known = `${s.id}`);
  }) || page;

/** Accounts for the time until now. */
const account = () => {
  const t = now();
  if (attention) {
    end = t;
    visible += t - counted;
    // Visitors fall asleep, and so do machines.
    if (attention > 1) engaged += Math.max(0, Math.min(t, input + 3e5) - counted);
  }
  counted = t;
  attention = hidden() ? 0 : doc.hasFocus() ? 2 : 1;
  // What nobody has seen has not begun.
  if (!visible) start = end = input = t;
};

/** The visitor did something. */
const attend = () => {
  account();
  input = counted;
};

/** Reports totals, so that a later report makes up for a lost one. */
const tell = () => {
  account();
  if (totals && gate() > 0 && visible - reported >= 1e3) {
    reported = visible;
    totals.replaceData({ start, end, engaged, seen: visible }, "session");
  }
};

/** @param {string} [id] */
const begin = (id = newId()) => {
  const { endpoint } = settings;
  viewId = id;
  totals = new ReplaceableBeacon(endpoint, { backgroundTimeout: 0, key: "s:" + id });
  events = new AppendableBeacon(endpoint, { backgroundTimeout: 0, key: "l:" + id, timeout: 5e3 });
  visible = engaged = attention = 0;
  reported = -1e3;
  tell();
};

const push = () => {
  tell();
  totals.sendNow();
};

/** Begins a page view. One begins by itself with each page that is loaded. */
export const view = () => {
  if (!totals) return;
  push();
  events.sendNow();
  begin();
};

/**
 * Logs an event. It does not throw, whatever it is given.
 * @param {string} msg
 * @param {object} [data]
 */
export const log = (msg, data) => {
  try {
    events?.appendData({ msg, ...data }, "log");
  } catch (error) {
    report(events, "data", 0, error);
  }
};

/**
 * Says whether the visitor agrees to be recorded.
 * @param {"granted" | "denied" | "pending"} state
 */
export const consent = (state) => {
  agreed = state;
  asked = -1e3;
  if (gate() < 0) {
    purge();
    parked.forEach(unpark);
  }
  tell();
  review();
};

/** What is done when something happens to the page: see emit. @type {Record<string, () => unknown>} */
const session = {
  hide: tell,
  review: tell,
  beat: push,
  back: begin,
  show() {
    // After so long it is another visit.
    if (now() - end > 18e5) view();
    attend();
  },
};

/**
 * Tells of what happens to the page: "hide" before it is hidden or ends, "hidden"
 * and "end" afterwards, "show", "back" from the back/forward cache, "review", and
 * "beat" every half minute.
 * @param {string} event
 */
export const emit = (event) => begun && [store, session].map((to) => quietly(() => to[event]?.()));

const beat = () => {
  setTimeout(beat, 3e4);
  emit("beat");
};

/**
 * Starts it all.
 * @param {InitOptions} [o]
 */
export const init = (o) => {
  const all = { ...settings, ...o };
  target = bare(address(all.endpoint));
  settings = all;
  if (!begun || o?.consent) agreed = all.consent === "required" ? "pending" : "granted";
  openStore();
  if (!begun) {
    begun = true;
    begin(page);
    on(w, "focus blur", account);
    on(w, "pointerdown pointermove keydown scroll touchstart", () => {
      if (now() - input > 1e3) attend();
    });
    setTimeout(beat, 3e4);
  }
  consent(/** @type {any} */ (agreed));
};
