/**
 * What the server is told about: sessions, page views, engaged time and a log,
 * and whether the visitor agrees to any of it.
 */
import { DAY, MINUTE, doc, hidden, location, nav, newId, now, on, page, quietly, setTimeout, w } from "./env.js";
import { AppendableBeacon, PendingBeacon, PendingGetBeacon, PendingPostBeacon, ReplaceableBeacon, checkURL, hooks, review } from "./core.js";
import { parked, plug, report, unpark } from "./transport.js";
import { openStore, purge } from "./store.js";

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

/** @type {InitOptions & {endpoint: string} | undefined} */
let options;
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

const { _gate } = plug;
const gate = (plug._gate = () =>
  agreed === "denied" || (options && options.gpc !== "flag" && gpc()) ? -1 : agreed === "granted" ? _gate() : 0);

plug._view = () => ({ pv: viewId, page: options?.page === false ? undefined : location.href?.split("#")[0].slice(0, 2e3) });
plug._who = () => ({ sid: session(), gpc: gpc() ? 1 : undefined });

/**
 * The id of the session, which goes on by this: a new one after 30 minutes of
 * nothing or after a day. Where nothing may be stored, this page is all of it.
 */
const session = () =>
  quietly(() => {
    if (!options || gate() < 1) return;
    const t = now();
    // Each change of a beacon asks, and the store is slow.
    if (t - asked < 1e3) return known;
    const store = w.localStorage;
    let s = quietly(() => JSON.parse(store["bcn:s"])) || {};
    if (!(t - s.last < 30 * MINUTE && t - s.first < DAY)) s = { id: s.id ? newId() : page, first: t };
    // What is sent from a hidden page is no sign of life.
    if (!s.last || !hidden()) s.last = t;
    store["bcn:s"] = JSON.stringify(s);
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
    if (attention > 1) engaged += Math.max(0, Math.min(t, input + 5 * MINUTE) - counted);
  }
  counted = t;
  attention = hidden() ? 0 : doc.hasFocus() ? 2 : 1;
  // What nobody has seen has not begun.
  if (!visible) start = end = input = t;
};

/** Reports totals, so that a later report makes up for a lost one. */
const tell = () => {
  account();
  if (totals && gate() > 0 && visible - reported >= 1e3) {
    reported = visible;
    totals.replaceData({ start, end, engaged, seen: visible }, "session");
  }
};

/** @param {string} id */
const begin = (id) => {
  const { endpoint } = /** @type {NonNullable<typeof options>} */ (options);
  viewId = id;
  totals = new ReplaceableBeacon(endpoint, { backgroundTimeout: 0, key: "s:" + id });
  events = new AppendableBeacon(endpoint, { backgroundTimeout: 0, key: "l:" + id, timeout: 5e3 });
  visible = engaged = attention = 0;
  reported = -1e3;
  tell();
};

/** Begins a page view. One begins by itself with each page that is loaded. */
export const view = () => {
  if (!totals) return;
  tell();
  totals.sendNow();
  events.sendNow();
  begin(newId());
};

/**
 * Logs an event. It does not throw, whatever it is given.
 * @param {string} msg
 * @param {object} [data]
 */
export const log = (msg, data) => {
  if (!events) return;
  try {
    events.appendData({ msg, ...data }, "log");
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

/**
 * Starts it all.
 * @param {InitOptions} [o]
 */
export const init = (o) => {
  const all = { endpoint: "/_pb", ...options, ...o };
  checkURL(all.endpoint);
  const url = new URL(all.endpoint, doc.baseURI);
  const first = !options;
  options = all;
  plug._onerror = all.onerror;
  plug._keep = !!all.reliability;
  if (first || o?.consent) agreed = all.consent === "required" ? "pending" : "granted";
  plug._token = (to) => to.split("?")[0] === url.href.split("?")[0] && all.token;
  openStore([location.origin, url.origin, ...(all.origins || [])]);
  if (first) {
    begin(page);
    on(w, "focus blur", account);
    on(w, "pointerdown pointermove keydown scroll touchstart", () => {
      if (now() - input > 1e3) {
        account();
        input = counted;
      }
    });
    hooks.push((event) => {
      if (event === "hide" || event === "review") tell();
      if (event === "back") begin(newId());
      if (event === "show") {
        // After so long it is another visit.
        if (now() - end > 30 * MINUTE) view();
        account();
        input = counted;
      }
    });
    const beat = () => {
      tell();
      totals.sendNow();
      setTimeout(beat, 3e4);
    };
    setTimeout(beat, 3e4);
  }
  consent(/** @type {any} */ (agreed));
};

export const classes = { PendingBeacon, PendingGetBeacon, PendingPostBeacon, AppendableBeacon, ReplaceableBeacon };

/** Makes the classes global, as they are where the browser has them. */
export const install = () => {
  Object.assign(w, classes);
};
