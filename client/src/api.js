/**
 * What a page sees. A page that has the script more than once, from a tag and a
 * bundle, of several kinds, or again with each visit of a router, has one of these:
 * that of the first.
 */
import { w } from "./env.js";
import { classes, install } from "./install.js";
import { consent, flush, init, log, session, view } from "./session.js";

/** @type {any} */
export const api = (w[Symbol.for("beacon")] ||= {
  ...classes, init, log, view, consent, flush, install,
  get session() {
    return session();
  },
});
