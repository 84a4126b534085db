/**
 * Stands for the store and the session where there is neither: see plug.js.
 * Functions that do nothing, so that the builder leaves out the calls.
 */
import { doc, page } from "./env.js";

export { aim, drop, gone, handed, save, saved } from "./nostore.js";

export function emit() {}
export function token() {}
export const about = () => ({ pv: page });
export const who = () => ({ sid: page });
export const gate = () => (doc.prerendering ? 0 : 1);
export const settings = {};
