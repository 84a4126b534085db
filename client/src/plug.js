/**
 * What the beacons ask of the store and the session. The beacons alone are built
 * with alone.js in its place.
 */
export { aim, drop, gone, handed, save, saved, sync } from "./store.js";
export { about, gate, never, pageBack, pageEnds, pageHides, pageReviewed, pageShows, settings, who } from "./session.js";
export { stamped } from "./token.js";
