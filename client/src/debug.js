/**
 * What a developer wants to know of a page that does not report: why not, in whole
 * sentences, and what the client does, as it does it. Only pages with data-debug load
 * it, so it may be long where the client has to be short.
 */

/**
 * @typedef {object} Say what the client tells
 * @property {Record<string, any>} options as they were understood
 * @property {string | (() => string)} session
 * @property {(f: (what: string, detail?: any) => void) => void} listen calls f with the
 *	code of a fault, or with what happens to a beacon
 */

const w = /** @type {any} */ (globalThis.window || globalThis);

/** @typedef {(d: any, o: Record<string, any>) => string} Text */

/** What is wrong with a set-up, by code. @type {Record<string, Text>} */
export const faults = {
  insecure: (_, o) =>
    `this page is plain http, at ${w.location?.host}. Browsers take it for insecure, so the beacon classes refuse to send (TypeError), fetchLater is not there, and ` +
    `events go out only if the endpoint (${o.endpoint}) is of the same origin. Use https, or http://localhost: for a phone, forward a port of it to this machine, ` +
    "or run the server with a certificate that the phone trusts.",
  pending: () =>
    "nothing is sent or stored, because nobody has said yet whether the visitor agrees: data-consent is \"required\". Call beacon.consent(\"granted\") or beacon.consent(\"denied\") " +
    "once it is known, on every page. Until then up to 50 beacons wait in memory.",
  denied: () =>
    "this device remembers that its visitor said no (localStorage \"bcn:c\" is \"denied\"), so nothing is sent, on any page of this origin. Only beacon.consent(\"granted\") lifts that; " +
    "data-consent=\"granted\" does not.",
  gpc: () =>
    "this browser sends Global Privacy Control, so nothing is sent. With data-gpc=\"flag\" it would be sent with a flag, if that is lawful where you are; the server may still drop it.",
  csp: (d, o) =>
    `the page's Content-Security-Policy forbids ${d?.blockedURI || o.endpoint} (${d?.effectiveDirective || d?.violatedDirective || "connect-src"}). ` +
    "Allow it: connect-src 'self', or the endpoint's origin if that is another one.",
  path: (d, o) =>
    `${d?.url || o.endpoint} answers ${d?.status || "as no receiver does"}: no receiver listens there. Is data-endpoint the path of the handler (Config.Path, default /_pb), does the route take POST, ` +
    "and does the proxy in front pass it on? Handler.ScriptTag writes the right path into the tag.",
  module: () =>
    "the classic script was loaded with type=\"module\", so it cannot see its own tag and does not start. Leave type=\"module\" out, or import { init } from the .mjs file and call it.",
  option: (d, o) => `${d?.name ?? ""} ${"value" in (d ?? {}) ? `cannot be ${JSON.stringify(d.value)}` : "is no option"}. Known are: ${Object.keys(o).join(", ")}.`,
  storage: (d) =>
    `this page may not use localStorage (${d?.error || "it is missing"}): a session ends with the page, and what is not delivered when it ends is lost. ` +
    "Private windows, blocked cookies and sandboxed frames without allow-same-origin do that.",
  refused: (d) => refusals[d?.refused] || `the server refused it with ${d?.status}${d?.refused ? ` (${d.refused})` : ""}. The answer's header Beacon-Refused says why, and so does the server's log.`,
  network: (d) =>
    `${d?.url} cannot be reached, or its answer may not be read: the server is down, a content blocker stops the request, or it is of another origin that does not list this one (Config.Origins).`,
};

/** What the receiver's Beacon-Refused means for who wrote the page. @type {Record<string, string>} */
export const refusals = {
  origin:
    "the server does not know this page's origin (Beacon-Refused: origin). List it in Config.Origins; behind a proxy, see that it passes the Host header on (nginx: proxy_set_header Host $host).",
  host: "the server is not asked under a name it knows (Beacon-Refused: host): see Config.Hosts.",
  token: "the page has no valid token (Beacon-Refused: token): it was not written by Handler.ScriptTag, comes from a cache, or is older than two days. init({ token }) gives it a new one.",
  method: "the endpoint does not take this method (Beacon-Refused: method).",
  limited: "this address sends more than the server's limit allows (Beacon-Refused: limited). It is tried again later.",
  "too-busy": "the server has too much to do (Beacon-Refused: too-busy). It is tried again later.",
  "body-too-large": "the body is larger than the server takes (Beacon-Refused: body-too-large, Config.Limits).",
  "sink-refused": "the server's store says that it will never take this (Beacon-Refused: sink-refused).",
  "sink-failed": "the server's store fails at the moment (Beacon-Refused: sink-failed). It is tried again later.",
};

/** Why a beacon was given up: the reasons of onerror. @type {Record<string, string>} */
const failures = {
  size: "more than 60,000 bytes at the end of the page",
  status: "the server refused it for good",
  attempts: "it was tried five times",
  expired: "it is older than a day",
  full: "too many wait to be tried again, or the storage is full",
  data: "it cannot be written as JSON",
  consent: "the visitor does not agree, or too much waits for that",
};

/**
 * Starts telling.
 * @param {Say} say
 */
export default (say) => {
  const { options } = say;
  const { console } = w;
  /** @type {Set<string>} */
  const told = new Set();
  /** @param {unknown[]} args */
  const print = (...args) => console?.info("beacon:", ...args);
  /** @param {string} code @param {any} [detail] */
  const fault = (code, detail) => {
    const text = faults[code](detail, options);
    // One line each: what keeps a page silent tends to do so many times.
    if (told.has(text)) return;
    told.add(text);
    console?.warn(`beacon [${code}]:`, text);
  };

  print("session", typeof say.session === "function" ? say.session() : say.session, "options", options);
  if (!w.fetchLater) print("this browser has no fetchLater: beacons go out when the page is hidden or ends, and a page that crashes is made up for by the next visit");

  say.listen((what, detail) => {
    if (Object.hasOwn(faults, what)) return fault(what, detail);
    print(what, ...(detail === undefined ? [] : [detail]));
    if (!Object.hasOwn(failures, detail?.reason)) return;
    print("given up:", failures[detail.reason]);
    const { status } = detail;
    if (status === 404 || (status === 405 && detail.refused === undefined)) fault("path", detail);
    else if (status) fault("refused", detail);
    else if (detail.reason === "attempts") fault("network", detail);
  });
  w.document?.addEventListener?.("securitypolicyviolation", (/** @type {any} */ e) => {
    if (sameAddress(e.blockedURI, options.endpoint)) fault("csp", e);
  });

  // What was so before this file came.
  if (w.isSecureContext === false) fault("insecure");
  if (w.navigator?.globalPrivacyControl === true && options.gpc !== "flag") fault("gpc");
  let stored;
  try {
    stored = w.localStorage["bcn:c"];
  } catch (error) {
    fault("storage", { error });
  }
  if (stored === "denied") fault("denied");
  else if (options.consent !== undefined && options.consent !== "granted") fault("pending");
  return ask(options, fault);
};

/** @param {string} a as a policy reports it, perhaps an origin alone @param {string} endpoint */
const sameAddress = (a, endpoint) => {
  try {
    const url = new URL(endpoint, w.document.baseURI);
    return a === url.origin || a.split(/[?#]/)[0] === url.origin + url.pathname;
  } catch {
    return false;
  }
};

/**
 * Asks the endpoint whether a receiver is there, with a request that holds nothing
 * and makes no event. A host that answers everything with a page of its own would
 * otherwise look like one. Of another origin, which need not allow the question, only
 * beacons can tell.
 * @param {Record<string, any>} options
 * @param {(code: string, detail?: any) => void} fault
 */
const ask = async (options, fault) => {
  let url = `${options.endpoint}`;
  try {
    const { href, origin } = new URL(url, w.document.baseURI);
    if (origin !== w.location.origin) return;
    url = href;
    const { status, headers } = await w.fetch(url, { method: "OPTIONS", credentials: "omit", cache: "no-store", redirect: "manual" });
    const refused = headers.get("Beacon-Refused");
    if (refused) fault("refused", { url, status, refused });
    else if (status !== 204) fault("path", { url, status: status || "with a redirect" });
  } catch {
    fault("network", { url });
  }
};
