/**
 * What a developer wants to know of a page that does not report: why not, in whole
 * sentences, and what the client does, as it does it. Only pages with data-debug load
 * it, so it may be long where the client has to be short.
 */

import { failures, faults } from "./debug.text.js";

/**
 * @typedef {object} Say what the client tells
 * @property {Record<string, any>} options as they were understood
 * @property {string | (() => string)} session
 * @property {(f: (what: string, detail?: any) => void) => void} listen calls f with the
 *	code of a fault, or with what happens to a beacon
 */

const w = /** @type {any} */ (globalThis.window || globalThis);

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
