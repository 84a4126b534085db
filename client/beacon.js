/**
 * The browser client of github.com/pagebeacon/beacon: beacons that wait for the
 * end of the page, and a record of sessions, page views and events made of them.
 *
 * It runs as it is, as an ES module. dist/ has the same as one small file.
 */
import { api } from "./src/api.js";

export const {
  PendingBeacon, PendingGetBeacon, PendingPostBeacon, AppendableBeacon, ReplaceableBeacon,
  init, log, view, consent, flush, install,
} = api;
export { api as beacon };
