/**
 * What a developer wants to know of a page that does not report: why not, in whole
 * sentences, and what the client does, as it does it. Only pages with data-debug load
 * it, so it may be long where the client has to be short.
 */

import { mistakes } from "./debug.options.js";
import { failures, faults } from "./debug.text.js";

/**
 * @typedef {object} Say what the client tells
 * @property {Record<string, any>} options as they were understood
 * @property {() => string} session
 * @property {[what: string, detail?: any][]} [told] what was told, to which the client adds
 */

const w = /** @type {any} */ (globalThis.window || globalThis);

/** Marks the question of this file, in the query, among what leaves for the endpoint. */
const OWN = "_debug";

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

  print("session", say.session(), "options", { ...options });
  if (!w.fetchLater) print("this browser has no fetchLater: beacons go out when the page is hidden or ends, and a page that crashes is made up for by the next visit");

  /** @param {string} what @param {any} [detail] */
  const hear = (what, detail) => {
    // The route answers, but is none of a receiver.
    const elsewhere = what === "refused" && !detail?.refused && (detail?.status === 404 || detail?.status === 405);
    if (Object.hasOwn(faults, what)) fault(elsewhere ? "path" : what, detail);
    else print(what, detail);
  };
  const { told: earlier = [] } = say;
  for (const [what, detail] of earlier) hear(what, detail);
  earlier.push = (...more) => {
    for (const [what, detail] of more) hear(what, detail);
    return Array.prototype.push.apply(earlier, more);
  };
  for (const mistake of mistakes(options)) fault("option", mistake);
  follow(options, hear, print);
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
  else if (options.consent !== "granted" && !say.session()) fault("pending");
  return ask(options, fault);
};

/**
 * Prints what the page calls of the client, and what leaves for the endpoint.
 * @param {Record<string, any>} options
 * @param {(what: string, detail: any) => void} hear
 * @param {(...args: unknown[]) => void} print
 */
const follow = (options, hear, print) => {
  const { onerror } = options;
  options.onerror = (/** @type {any} */ failure) => {
    if (failure.status < 500) hear("refused", failure);
    print("given up:", failures[failure.reason] ?? failure.reason, failure);
    if (typeof onerror === "function") onerror(failure);
  };
  const client = w[Symbol.for("beacon")];
  for (const name of ["log", "view", "consent", "flush"]) {
    const f = client?.[name];
    if (!f) continue;
    client[name] = (/** @type {unknown[]} */ ...args) => {
      print(name, ...args);
      return f(...args);
    };
  }
  try {
    new w.PerformanceObserver((/** @type {any} */ list) => {
      for (const { name, initiatorType, responseStatus, duration } of list.getEntries()) {
        if (sameAddress(name, options.endpoint) && !name.endsWith(OWN)) print("request by", initiatorType, "answered", responseStatus || "out of sight", `after ${Math.round(duration)} ms`);
      }
    }).observe({ type: "resource", buffered: true });
  } catch {
    // Only the network panel knows, then.
  }
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
    url = href.split("#")[0];
    const { status, headers } = await w.fetch(url + (url.includes("?") ? "&" : "?") + OWN, { method: "OPTIONS", credentials: "omit", cache: "no-store", redirect: "manual" });
    const refused = headers.get("Beacon-Refused");
    if (refused) fault("refused", { url, status, refused });
    else if (status !== 204) fault("path", { url, status: status || "with a redirect" });
  } catch {
    fault("network", { url });
  }
};
