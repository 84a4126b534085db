/**
 * The options of init and of the script's tag, which has them as text. What is not
 * known is told; it never counts as leave to do more, as everybody who reads an
 * option asks for the very word that gives it.
 */
import { quietly } from "./env.js";
import { warn } from "./say.js";

/**
 * @typedef {object} InitOptions
 * @property {string} [endpoint]
 * @property {string} [token]
 * @property {"required" | "granted" | "pending" | "denied"} [consent]
 * @property {"block" | "flag"} [gpc]
 * @property {string[] | string} [origins]
 * @property {"atLeastOnce"} [reliability]
 * @property {"path" | "full" | "none" | false | ((url: string) => unknown)} [page]
 * @property {boolean | "" | "true" | "hash"} [spa]
 * @property {object | string} [props]
 * @property {boolean | string | ((tools: object) => unknown)} [debug]
 * @property {(f: import("./transport.js").Failure) => void} [onerror]
 */

// Tags may have attributes of two words, which are other tools': data-turbo-track.
const known =
  /^((cf\w*|\w*[A-Z]\w*|endpoint|token|debug|props|origins):.*|consent:(required|granted|denied|pending)|gpc:(block|flag)|reliability:atLeastOnce|page:(path|full|none|false)|spa:(true|false|hash|))$/s;

/**
 * @param {any} given
 * @returns {any} what of it can be used
 */
export const parse = (given) => {
  const all = { ...given };
  for (const name in all) {
    const value = all[name];
    if (value === undefined) delete all[name];
    else if (!value?.call && !known.test(`${name}:${value}`)) warn("option", [name, value]);
  }
  if (all.origins?.split) all.origins = all.origins.split(/[\s,]+/);
  if (all.props?.split) all.props = quietly(() => JSON.parse(all.props)) ?? warn("option", ["props", all.props]);
  return all;
};
