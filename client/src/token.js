/** The token of the page, which says to the server that it wrote the page. */
import { token } from "./session.js";

/** @typedef {import("./transport.js").Parcel} Parcel */

/**
 * What leaves: with the token that is the newest then, and that no record has. In a
 * body of the page's own there is no place for it.
 * @param {Parcel} p
 * @param {string} via
 * @returns {[url: string, body: any]}
 */
export const stamped = ({ _url: url, _mode, _body, _options }, via) => {
  const body = _body(via);
  const tok = _options.token || token(url);
  return !tok ? [url, body]
    : _mode ? [url, body.replace(',"k"', `,"tok":"${tok}"$&`)]
    : [url + (url.includes("?") ? "&" : "?") + "_t=" + tok, body];
};
