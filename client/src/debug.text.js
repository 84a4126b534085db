/** What the debug file has to say: about a set-up, a refusal, a beacon that was given up. */

import { right } from "./debug.options.js";

/** @typedef {(d: any, o: Record<string, any>) => string} Text */

/** What is wrong with a set-up, by code. @type {Record<string, Text>} */
export const faults = {
  insecure: () =>
    "this page is plain http. Browsers take it for insecure, so beacons may not be made (TypeError) and the client does not report. Use https, or http://localhost: for a phone, " +
    "forward a port of it to this machine, or run the server with a certificate that the phone trusts.",
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
  endpoint: (d, o) =>
    `${o.endpoint} is no address that beacons may be sent to (${d}): it has to be https, or http to this machine. The client did not start.`,
  option: ([name, value]) =>
    (Object.hasOwn(right, name) ? `${name} cannot be ${JSON.stringify(value)}` : `there is no option "${name}", so it changes nothing`) +
    ". Known are endpoint, token, consent (\"required\", \"granted\"), gpc (\"block\", \"flag\"), origins, reliability (\"atLeastOnce\"), " +
    "page (\"path\", \"full\", \"none\", or a function), spa (true, \"hash\"), props (an object, as JSON in a tag), debug and onerror." +
    (name === "consent" ? " Of a consent that is not understood nothing is sent." : ""),
  page: (d) => `the function given as page threw (${d}), so no address is told.`,
  storage: (d) =>
    `this page may not use localStorage (${d?.error || "it is missing"}): a session ends with the page, and what is not delivered when it ends is lost. ` +
    "Private windows, blocked cookies and sandboxed frames without allow-same-origin do that.",
  refused: (d) => refusals[d?.refused] || `the server refused it with ${d?.status}${d?.refused ? ` (${d.refused})` : ""}. The answer's header Beacon-Refused says why, and so does the server's log.`,
  network: (d) =>
    `${d?.url} cannot be reached, or its answer may not be read: the server is down, a content blocker stops the request, or it is of another origin that does not list this one (Config.Origins).`,
};

/** What the receiver's Beacon-Refused means for who wrote the page. @type {Record<string, string>} */
const refusals = {
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
export const failures = {
  size: "more than 60,000 bytes at the end of the page",
  status: "the server refused it for good",
  attempts: "it was tried five times",
  expired: "it is older than a day",
  full: "too many wait to be tried again, or the storage is full",
  data: "it cannot be written as JSON",
  consent: "the visitor does not agree, or too much waits for that",
};
