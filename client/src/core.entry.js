/** The beacons alone: no store, no session, no consent. */
export { PendingBeacon, PendingGetBeacon, PendingPostBeacon, AppendableBeacon, ReplaceableBeacon } from "./core.js";
