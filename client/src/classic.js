/**
 * For a classic script, which its tag configures and which starts by itself:
 *
 *	<script src="beacon.min.js" data-endpoint="/_pb" data-consent="required" async></script>
 */
import { api, replay } from "./api.js";
import { doc, w } from "./env.js";

try {
  // Not doc.currentScript: an <img name="currentScript"> would stand there.
  api.init({ ...Reflect.get(w.Document.prototype, "currentScript", doc).dataset });
} catch (e) {
  w.console?.warn("beacon:", e);
}
replay();
w.beacon = api;
