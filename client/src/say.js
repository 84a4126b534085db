/**
 * What the page's author is told: each fault of the set-up once, by a word on the
 * console. The file of the debug mode has whole sentences for them.
 */
import { w } from "./env.js";

/** All that was told, for the debug mode, which listens by a push of its own. @type {[what: string, detail: unknown, key: string][]} */
export const told = [];

/** @param {string} what one of the faults in debug.js @param {unknown} [detail] */
export const warn = (what, detail = "") => {
  const key = what + detail;
  if (told.some((t) => t[2] === key)) return;
  w.console?.warn("beacon:", what, detail);
  told.push([what, detail, key]);
};
