/**
 * Stands for the store and the session where there is neither: see plug.js.
 * Functions that do nothing, so that the builder leaves out the calls.
 */
import { doc, page } from "./env.js";

export { aim, drop, gone, handed, save, saved, sync } from "./nostore.js";

export function never() {}
export function pageBack() {}
export function pageEnds() {}
export function pageHides() {}
export function pageReviewed() {}
export function pageShows() {}
export const settings = {};
/** Without a token: it can be in the address, as _t. @param {any} p @param {string} via */
export const stamped = (p, via) => [p._url, p._body(via)];
export const about = () => ({ pv: page });
export const who = () => ({ sid: page });
export const gate = () => !doc.prerendering;
