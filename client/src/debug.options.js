/** What is wrong with options, of init or of a tag: names and values that the client does not know. */

/** @param {string} words separated by spaces */
const oneOf = (words) => (/** @type {any} */ v) => words.split(" ").includes(`${v}`);
/** @param {any} v */
const text = (v) => typeof v === "string" || v instanceof URL;
/** @param {any} v */
const callable = (v) => typeof v === "function";
/** @param {any} v */
const origins = (v) => [v].flat().join(" ").split(/[\s,]+/).every((o) => !o || new URL(o).origin === o.replace(/\/$/, ""));
/** @param {any} v */
const object = (v) => {
  const o = typeof v === "string" ? JSON.parse(v) : v;
  return typeof o === "object" && !Array.isArray(o);
};

/** What a value is right by, of each name. @type {Record<string, (value: any) => boolean>} */
export const right = {
  endpoint: text,
  token: text,
  consent: oneOf("required granted pending denied"),
  gpc: oneOf("block flag"),
  origins,
  reliability: oneOf("atLeastOnce"),
  page: (v) => callable(v) || oneOf("path full none false")(v),
  spa: (v) => v === "" || oneOf("true false hash")(v),
  props: object,
  debug: (v) => callable(v) || text(v) || typeof v === "boolean",
  onerror: callable,
};

/**
 * @param {Record<string, any>} options
 * @returns {[name: string, value: unknown][]}
 */
export const mistakes = (options) =>
  Object.entries(options).filter(([name, value]) => {
    if (value === undefined) return false;
    // Attributes of two words are other tools': data-turbo-track.
    if (!Object.hasOwn(right, name)) return !/[A-Z]/.test(name);
    try {
      return !right[name](value);
    } catch {
      return true; // no such origin, or not JSON
    }
  });
