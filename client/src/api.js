/**
 * What a page sees. A page that has the script more than once, from a tag and a
 * bundle, of several kinds, or again with each visit of a router, has one of these:
 * that of the first.
 */
import { quietly, w } from "./env.js";
import { classes, install } from "./install.js";
import { consent, flush, init, log, session, view } from "./session.js";

/** Does what the page called before the script was there, and from now on at once. */
export const replay = () => {
  const q = w.beacon?.q;
  if (!q?.splice) return; // an element of that id
  w.beacon = api;
  q.push = (/** @type {any[]} */ [name, ...args]) => quietly(() => api[name](...args));
  // What is logged should know whether the visitor agrees.
  q.splice(0).sort((/** @type {any[]} */ a, /** @type {any[]} */ b) => +(b[0] === "consent") - +(a[0] === "consent")).map(q.push);
};

/** @type {any} */
export const api = (w[Symbol.for("beacon")] ||= {
  ...classes,
  /** @param {import("./session.js").InitOptions} [o] */
  init(o) {
    init(o);
    replay();
  },
  log, view, consent, flush, install,
  get session() {
    return session();
  },
});
