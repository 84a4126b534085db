/**
 * What the server is told about: sessions, page views, engaged time and a log,
 * and whether the visitor agrees to any of it.
 */
import { bare, doc, hidden, location, nav, newId, now, on, page, quietly, setTimeout, w } from "./env.js";
import { AppendableBeacon, ReplaceableBeacon, add, address, review, flush as sendAll } from "./core.js";
import { parked, report, unpark } from "./transport.js";
import { openStore, purge, storage, store } from "./store.js";
import { parse } from "./options.js";
import { told, warn } from "./say.js";
import { watch } from "./spa.js";

/** Where a denial is remembered. */
const DENIED = "bcn:c";

/** @type {import("./options.js").InitOptions} */
export let settings = { endpoint: "/_pb", consent: "granted" };
let begun = false;
let awake = false;
let lan = false; // the endpoint is plain http, as the page is
let target = ""; // the endpoint, without a query
/** What the page says of the visitor. @type {boolean | undefined} */
let agreed;
/** Whether the visitor said no, on this device; unknown until somebody asks, as the store is slow. @type {unknown} */
let denied;
let viewId = page;
/** Of the page view: its address, the one before, and what the page calls it. @type {any} */
let here, from, title, more;
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
  (denied ??= quietly(() => storage()[DENIED]) || "") || (begun && settings.gpc !== "flag" && gpc()) ? -1
  : (agreed ?? settings.consent === "granted") && !doc.prerendering ? 1
  : 0;

/**
 * What is told of an address: by default the query and the fragment are nobody's
 * business. Routes of the hash kind are paths, with queries of their own.
 * @param {any} url
 */
const cut = (url) => {
  const { page: how = "path", spa } = settings;
  try {
    url = how.call ? how(url)
      : /^(path|full)$/.test(how) && (spa === "hash" ? url : url.split("#")[0]).replace(how === "path" ? /\?[^#]*/g : "", "");
  } catch (e) {
    url = warn("page", e);
  }
  return url ? `${url}`.slice(0, 2e3) : undefined;
};

/** What an envelope says of the page view, as of its first item. */
export const about = () => ({ pv: viewId, page: here });

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
    // Others may write there too.
    const good = s.id?.trim?.() && s.id.length < 65 && s.first <= s.last;
    if (!good || Math.abs(t - s.last) > 18e5 || t - s.first > 864e5) s = { id: s.id ? newId() : page, first: t };
    // What is sent from a hidden page is no sign of life.
    if (!s.last || !hidden()) s.last = t;
    items["bcn:s"] = JSON.stringify(s);
    asked = t;
    return (known = s.id);
  }) || page;

/** The id of the session, if there is one. */
export const session = () => (begun && gate() > 0 ? sessionId() : "");

/** Accounts for the time until now. */
const account = () => {
  const t = now();
  // It is done every half minute: after a longer time the machine has slept.
  if (attention && t - counted < 9e4) {
    end = t;
    visible += t - counted;
    // Visitors fall asleep, too.
    if (attention > 1) engaged += Math.max(0, Math.min(t, input + 3e5) - counted);
  }
  counted = t;
  attention = hidden() ? 0 : doc.hasFocus() ? 2 : 1;
  // What nobody has seen has not begun.
  if (!visible) start = end = input = t;
};

/** Something goes on here. */
const stir = () => {
  // After so long it is another visit.
  if (visible && !hidden() && now() - end > 18e5) next(undefined, title, more);
  account();
};

/** The visitor did something. */
const attend = () => {
  stir();
  input = counted;
};

/** @param {any} b @param {object} data @param {string} name */
const put = (b, data, name) => {
  try {
    add(b, { ...settings.props, ...data }, name);
  } catch (error) {
    report(b, "data", 0, error);
  }
};

/** Reports totals, so that a later report makes up for a lost one. */
const tell = () => {
  account();
  if (awake && gate() > 0 && visible - reported >= 1e3) {
    reported = visible;
    put(totals, { ...more, start, end, engaged, seen: visible, ref: from, name: title }, "session");
  }
};

/** @param {string} id @param {string} [ref] */
const begin = (id, ref) => {
  const options = { backgroundTimeout: 0, _any: lan };
  viewId = id;
  from = ref;
  here = cut(location.href || "");
  totals = new ReplaceableBeacon(settings.endpoint, { ...options, key: "s:" + id });
  events = new AppendableBeacon(settings.endpoint, { ...options, key: "l:" + id, timeout: 5e3 });
  visible = engaged = attention = 0;
  reported = -1e3;
  tell();
};

const push = () => {
  tell();
  totals.sendNow();
};

/** @param {string | undefined} ref @param {string | undefined} name @param {object | undefined} data */
const next = (ref, name, data) => {
  push();
  events.sendNow();
  title = name;
  more = data;
  begin(newId(), ref);
};

/**
 * Begins a page view. One begins by itself with each page that is loaded.
 * @param {string} [name]
 * @param {object} [data] goes with its reports
 */
export const view = (name, data) => {
  if (begun) next(here, name && `${name}`, data);
};

/** Begins a page view if the address, as it is told, has changed. */
const look = () => {
  if (spa() && cut(location.href) !== here) view();
};

/** @returns {boolean} */
const spa = () => /^(true|hash|)$/.test(/** @type {any} */ (settings.spa));

/**
 * Logs an event. It does not throw, whatever it is given.
 * @param {string} msg
 * @param {object} [data]
 */
export const log = (msg, data) => {
  if (!begun) return;
  look();
  put(events, { ...data, msg }, "log");
};

/** Sends all that waits, now. */
export const flush = () => {
  if (begun) tell();
  if (gate() > 0) sendAll();
};

/** Acts on what the visitor wants. */
const heed = () => {
  asked = -1e3;
  if (gate() < 0) {
    purge();
    parked.forEach(unpark);
    // All that was ever stored, but the denial.
    quietly(() => Object.keys(storage()).map((k) => /^bcn:(?!c$)/.test(k) && delete storage()[k]));
  }
  review();
};

/**
 * Says whether the visitor agrees to be recorded. A denial lasts, on this device, until
 * consent is granted.
 * @param {"granted" | "denied" | "pending"} state
 */
export const consent = (state) => {
  parse({ consent: state });
  agreed = state === "granted";
  if (agreed) remember("");
  else if (state === "denied") remember(state);
  else heed();
};

/** @param {any} state */
const remember = (state) => {
  denied = state;
  quietly(() => delete storage()[DENIED]);
  heed(); // which makes room
  if (denied) quietly(() => (storage()[DENIED] = denied));
};

/** Another tab, or a page that was shown meanwhile, may have been told no. */
const again = () => {
  denied ||= undefined;
  if (gate() < 0) heed();
};

/** What begins when the page is shown, as it may be slow. */
const wake = () => {
  if (awake) return;
  awake = true;
  on(w, "focus blur", stir);
  on(w, "pointerdown pointermove keydown scroll touchstart", () => {
    if (now() - input > 1e3) attend();
  });
  on(w, "storage", (e) => e.key === DENIED && again());
  if (spa()) watch(look);
  setTimeout(() => {
    if (events.pending && !gate()) warn("pending");
  }, 1e4);
  setTimeout(beat, 3e4);
  if (gate() < 0) heed();
  else emit("review");
};

/** What is done when something happens to the page: see emit. @type {Record<string, () => unknown>} */
const life = {
  hide() {
    wake();
    tell();
  },
  review: tell,
  beat() {
    stir();
    push();
  },
  back() {
    again();
    begin(newId());
  },
  show: attend,
};

/**
 * Tells of what happens to the page: "hide" before it is hidden or ends, "hidden"
 * and "end" afterwards, "show", "back" from the back/forward cache, "review", and
 * "beat" every half minute.
 * @param {string} event
 */
export const emit = (event) => begun && [store, life].map((to) => quietly(() => to[event]?.()));

const beat = () => {
  setTimeout(beat, 3e4);
  emit("beat");
};

/** @param {import("./transport.js").Failure} f */
export const failed = (f) => {
  if (/** @type {number} */ (f.status) < 500) warn("refused", f);
  settings.onerror?.(f);
};

/**
 * Starts it all; again, it changes options.
 * @param {import("./options.js").InitOptions} [o]
 */
export const init = (o) => {
  const given = parse(o);
  const all = { ...settings, ...given };
  // Not by a <base>, which is markup as any other. Where an origin is none there is only that.
  const { href, origin } = new URL(all.endpoint, /^http/.test(w.origin) ? w.origin : doc.baseURI);
  const plain = w.isSecureContext === false && origin === w.origin;
  if (plain) warn("insecure");
  all.endpoint = address(href, plain);
  lan = plain;
  settings = all;
  target = bare(href);
  if (given.consent === "denied") remember("denied");
  openStore();
  const { debug = "false" } = given;
  if (`${debug}` !== "false") {
    const tools = { options: all, session, told };
    if (debug.call) debug(tools);
    else import(/^(true)?$/.test(debug) ? target + ".debug.mjs" : debug).then((m) => m.default(tools));
  }
  const first = !begun;
  if (first) {
    begun = true;
    begin(page, cut(doc.referrer || ""));
    setTimeout(wake, 0);
  }
  if (!first || all.consent !== "granted") heed();
};
