/**
 * What the server is told about: sessions, page views, engaged time and a log,
 * and whether the visitor agrees to any of it.
 */
import { bare, doc, hidden, location, nav, newId, now, on, origin, own, page, quietly, relisten, setInterval, setTimeout, storage, w } from "./env.js";
import { AppendableBeacon, ReplaceableBeacon, add, address, flush as sendAll, review } from "./core.js";
import { parked, report } from "./transport.js";
import { letGo, purge, recover, recoverSoon, renew, save } from "./store.js";

/**
 * The options of init, and of the script's tag, which has them as text. Nothing but
 * the very word that asks for more gives more: what is misspelt is told by debug.js.
 * @typedef {object} InitOptions
 * @property {string} [endpoint]
 * @property {string} [token]
 * @property {"required" | "granted" | "pending" | "denied"} [consent]
 * @property {"block" | "flag"} [gpc]
 * @property {string[] | string} [origins]
 * @property {"atLeastOnce"} [reliability]
 * @property {"path" | "full" | "none" | boolean | ((url: string) => unknown)} [page]
 * @property {boolean | "" | "true" | "hash"} [spa]
 * @property {object | string} [props]
 * @property {boolean | string | ((tools: object) => unknown)} [debug]
 * @property {(f: import("./transport.js").Failure) => void} [onerror]
 */

/** Where a denial is remembered. */
const DENIED = "bcn:c";

/** @type {InitOptions & {endpoint: string}} */
export let settings = {
  endpoint: "/_pb",
  consent: "granted",
  // What nobody else hears of. That a visitor does not agree is no fault.
  onerror: (f) => f.reason !== "consent" && w.console?.warn("beacon:", f),
};
export let begun = false;
let spa = false;
/** What the page said of the visitor. @type {boolean | undefined} */
let agreed;
/** Whether the visitor said no, on this device; unknown until somebody asks, as the store is slow. @type {unknown} */
let denied;
let awake = false;
let viewId = page;
/** Of the page view: its address, the one before, what the page says of it, and of all. @type {any} */
let here, from, title, more, props;
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

/** Whether beacons may never leave. */
export const never = () => (denied ??= quietly(() => storage()[DENIED]) || "") || (settings.gpc !== "flag" && begun && gpc());

/** May beacons leave? If not, perhaps later. */
export const gate = () => !never() && (agreed ?? settings.consent === "granted") && !doc.prerendering;

/**
 * What is told of an address: by default the query and the fragment are nobody's
 * business. With routes of the hash kind the fragment is a path.
 * @param {string} url
 */
const cut = (url) => {
  const { page: how = "path", spa } = settings;
  const text = quietly(() =>
    how.call ? how(url)
    : url.replace(how === "full" ? "" : /^$|path|true/.test(how) ? /\?[^#]*/g : url, "").replace(spa === "hash" ? "" : /#.*/, ""),
  );
  return text ? `${text}`.slice(0, 2e3) : undefined;
};

/** What an envelope says of the page view, as of its first item. */
export const about = () => ({ pv: viewId, page: here });

/** What an envelope says of the visitor, as of its sending. */
export const who = () => ({ sid: session() || page, gpc: gpc() ? 1 : undefined });

/** The token of this page, for the endpoint that wrote it. @param {string} url */
export const token = (url) => bare(url) === bare(settings.endpoint) && settings.token;

/**
 * The id of the session, which goes on by this: a new one after 30 minutes of
 * nothing or after a day. Where nothing may be stored, this page is all of it.
 */
export const session = () => {
  const t = now();
  if (!begun || !gate()) return "";
  // Each change of a beacon asks, and the store is slow.
  if (t - asked > 999)
    quietly(() => {
      asked = t;
      known = page;
      const items = storage();
      let s = quietly(() => JSON.parse(items["bcn:s"])) || {};
      // Others may write there too.
      if (!(/^.{1,64}$/.test(s.id ?? "") && s.first <= s.last && Math.abs(t - s.last) < 18e5 && t - s.first < 864e5)) s = { id: s.id ? newId() : page, first: t };
      // What is sent from a hidden page is no sign of life.
      if (!s.last || !hidden()) s.last = t;
      s.id = `${s.id}`;
      items["bcn:s"] = JSON.stringify(s);
      known = s.id;
    });
  return known;
};

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

const stir = () => {
  // After so long it is another visit.
  if (visible && !hidden() && now() - end > 18e5) turn();
  account();
};

/** The visitor did something. */
const attend = () => {
  stir();
  input = counted;
};

/** @param {any} b @param {object | undefined} data @param {object} more ours, which counts @param {string} name */
const put = (b, data, more, name) => {
  try {
    add(b, { ...props, ...data, ...more }, name);
  } catch (error) {
    report(b, "data", 0, error);
  }
};

/**
 * Reports totals, if there is more, so that a later report makes up for a lost one.
 * @param {unknown} [ended] nothing else will be reported of this page view: if the visitor
 * has not said yet whether that may be, the report waits
 */
const tell = (ended) => {
  account();
  if (awake && (gate() || (ended && visible && !never())) && visible > reported) {
    reported = visible;
    put(totals, more, { start, end, engaged, seen: visible, ref: from, name: title ?? undefined }, "session");
  }
};

/** @param {string} [id] */
const begin = (id = newId()) => {
  const { endpoint } = settings;
  viewId = id;
  here = cut(location.href);
  totals = new ReplaceableBeacon(endpoint, { backgroundTimeout: 0, key: "s:" + id });
  events = new AppendableBeacon(endpoint, { backgroundTimeout: 0, key: "l:" + id, timeout: 5e3 });
  visible = engaged = attention = 0;
  reported = -1;
  tell();
};

/** @param {unknown} [ended] */
const push = (ended) => {
  tell(ended);
  totals.sendNow();
};

/** Begins another page view. @param {string} [ref] @param {object} [data] */
const turn = (ref, name = title, data = more) => {
  push(1);
  events.sendNow();
  from = ref;
  title = name;
  more = data;
  begin();
};

/**
 * Begins a page view. One begins by itself with each page that is loaded.
 * @param {string} [name]
 * @param {object} [data] goes with its reports
 */
export const view = (name, data) => {
  if (begun) turn(here, name ?? null, data ?? null);
};

/** In a single-page app, begins a page view if the address, as it is told, has changed. */
const look = () => spa && cut(location.href) !== here && view();

/**
 * Logs an event. It does not throw, whatever it is given.
 * @param {string} msg
 * @param {object} [data]
 */
export const log = (msg, data) => {
  if (!begun) return;
  look();
  put(events, data, { msg }, "log");
};

/** Sends all that waits, now. */
export const flush = () => {
  quietly(tell);
  sendAll();
};

/** Acts on what the visitor wants. */
const heed = () => {
  asked = -1e3;
  if (never()) {
    purge();
    parked.clear();
    // All that was ever stored, but the denial.
    quietly(() => Object.keys(storage()).map((k) => /^bcn:(?!c$)/.test(k) && delete storage()[k]));
  }
  review();
};

/** Another tab may have been told no. */
const recall = () => {
  denied ||= undefined;
  heed();
};

/**
 * Says whether the visitor agrees to be recorded. A denial lasts, on this device, until
 * consent is granted.
 * @param {"granted" | "denied" | "pending"} state
 */
export const consent = (state) => {
  agreed = state === "granted";
  if (state === "denied") denied = state;
  else if (agreed) denied = "";
  heed(); // which makes room
  quietly(() => (denied ? (storage()[DENIED] = denied) : delete storage()[DENIED]));
};

// What core.js tells of the page, heard when it all has started.
/** @param {() => unknown} f */
const started = (f) => () => begun && quietly(f);

export const pageHides = started(() => {
  wake();
  tell();
});
export const pageShows = started(attend);
export const pageReviewed = started(() => {
  recoverSoon();
  tell();
});
export const pageEnds = started(() => letGo());
/** It was in the back/forward cache. */
export const pageBack = started(() => {
  renew();
  parked.forEach((p) => save(p));
  recall();
  tell(1);
  begin();
});

/** What can wait until the page has what it needs to be shown. */
const wake = () => {
  if (awake) return;
  awake = true;
  on(w, "focus blur", stir);
  on(w, "pointerdown pointermove keydown scroll touchstart", () => now() - input > 1e3 && attend());
  on(w, "storage", (e) => e.key === DENIED && recall());
  if (spa) {
    // After the change, as routers replace what they have just pushed.
    on(w, "popstate hashchange", () => setTimeout(look));
    if (w.NavigateEvent) on(w.navigation, "currententrychange", () => setTimeout(look));
    // The page's own functions are left as they are.
    else setInterval(look, 500);
  }
  setInterval(beat, 3e4);
  heed();
};

const beat = () => {
  relisten();
  recover();
  quietly(stir);
  quietly(push);
};

/**
 * Starts it all; again, it changes options.
 * @param {Record<string, any>} [o] InitOptions
 */
export const init = (o) => {
  const given = own(o);
  const all = own(settings);
  for (const k in given) if (given[k] !== undefined) all[k] = given[k];
  const { debug } = given;
  // Before it fails, to say why.
  if (debug?.call) debug({ options: all, session });
  else if (`${debug ?? false}` !== "false") {
    const file = `${debug}`.replace(/^(true)?$/, "./_pb.debug.mjs");
    import(file).then((m) => m.default({ options: all, session })).catch(settings.onerror);
  }
  // Not by a <base>, which is markup as any other. Where an origin is none there is only that.
  all.endpoint = address(new URL(all.endpoint, /^http/.test(origin) ? origin : doc.baseURI));
  props = Object(all.props) === all.props ? all.props : quietly(() => JSON.parse(all.props));
  settings = all;
  if (!begun) {
    begun = true;
    from = cut(doc.referrer);
    spa = /^(true|hash|)$/.test(`${all.spa ?? 0}`);
    begin(page);
    setTimeout(wake);
  }
  if (given.consent === "denied") consent("denied");
  else if (awake) heed();
};
