/**
 * For a classic script, which its tag configures and which starts by itself:
 *
 *	<script src="beacon.min.js" data-endpoint="/_pb" data-consent="required" async></script>
 */
import { doc, quietly, w } from "./env.js";
import { classes, install } from "./install.js";
import { consent, init, log, view } from "./session.js";

w.beacon = { ...classes, init, log, view, consent, install };
quietly(() => init({ .../** @type {HTMLElement} */ (doc.currentScript).dataset }));
