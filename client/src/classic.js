/**
 * For a classic script, which its tag configures and which starts by itself:
 *
 *	<script src="beacon.min.js" data-endpoint="/_pb" data-consent="required" async></script>
 */
import { api } from "./api.js";
import { doc, quietly, w } from "./env.js";

/** What the page called before the script was there. @type {any[][] | undefined} */
const q = w.beacon?.q;
w.beacon = api;
try {
  // Not doc.currentScript: an <img name="currentScript"> would stand there.
  api.init({ ...Reflect.get(w.Document.prototype, "currentScript", doc).dataset });
} catch (e) {
  w.console?.warn("beacon:", e);
}
if (q?.splice) {
  // From now on at once.
  q.push = ([name, ...args]) => quietly(() => api[name](...args));
  // What is logged should know whether the visitor agrees.
  q.splice(0).sort((a, b) => +(b[0] === "consent") - +(a[0] === "consent")).map(q.push);
}
