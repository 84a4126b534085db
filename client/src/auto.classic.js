/**
 * The automatic events as a classic script, which its tag configures, in any order
 * with the client's own:
 *
 *	<script src="auto.min.js" data-downloads="pdf zip" data-internal="example.org" async></script>
 */
import { auto } from "./auto.js";

const w = /** @type {any} */ (globalThis.window || globalThis);
const { setTimeout } = w;

/** What happened before there was anything to tell it to. @type {[string, object][]} */
const early = [];

const hand = () => {
  while (early[0] && w.beacon?.log) w.beacon.log(.../** @type {[string, object]} */ (early.shift()));
};
const wait = () => {
  hand();
  if (early[0]) setTimeout(wait, 500);
};

/** @type {Record<string, (value: string) => any>} */
const kinds = {
  outbound: (v) => v !== "false",
  downloads: (v) => v !== "false" && (v.match(/\w+/g) || true),
  forms: (v) => v !== "false",
  events: (v) => v !== "false",
  internal: (v) => v.split(/[\s,]+/).filter(Boolean),
};

/** @param {Record<string, string>} given the tag's data- attributes */
const parse = (given) => {
  /** @type {Record<string, any>} */
  const options = {};
  for (const [name, value] of Object.entries(given)) {
    if (Object.hasOwn(kinds, name)) options[name] = kinds[name](value);
    else w.console?.warn(`beacon: automatic events have no data-${name}`);
  }
  return options;
};

// By the getter of the prototype: an element named "currentScript" hides the document's own.
const tag = Object.getOwnPropertyDescriptor(w.Document.prototype, "currentScript")?.get?.call(w.document);
auto({
  ...parse({ ...tag?.dataset }),
  log: (msg, data) => {
    // A page that nobody listens to is not remembered for ever.
    if (early.push([msg, data]) > 50) early.shift();
    early[1] ? hand() : wait();
  },
});
