/**
 * The browser client of github.com/pagebeacon/beacon: beacons that wait for the
 * end of the page, and a record of sessions, page views and events made of them.
 *
 * It runs as it is, as an ES module. dist/ has the same as one small file.
 */
export { PendingBeacon, PendingGetBeacon, PendingPostBeacon, AppendableBeacon, ReplaceableBeacon } from "./src/core.js";
export { init, log, view, consent } from "./src/session.js";
export { install } from "./src/install.js";
