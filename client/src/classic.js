/**
 * For a classic script, which its tag configures and which starts by itself:
 *
 *	<script src="beacon.min.js" data-endpoint="/_pb" data-consent="required" async></script>
 */
import { api, replay } from "./api.js";
import { doc, w } from "./env.js";
import { warn } from "./say.js";

try {
  // Not doc.currentScript: an <img name="currentScript"> would stand there.
  const tag = Reflect.get(w.Document.prototype, "currentScript", doc);
  if (tag) api.init({ ...tag.dataset });
  else warn("module");
} catch (e) {
  warn("endpoint", e);
}
replay();
w.beacon = api;
