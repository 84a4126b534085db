/** The beacon classes alone: no store, no session, no consent. */
export { AppendableBeacon, PendingBeacon, PendingGetBeacon, PendingPostBeacon, ReplaceableBeacon } from "./beacon.js";
export type {
  BeaconData, BeaconOptions, Failure, PendingBeaconOptions, PendingPostBeaconOptions, SeriesBeaconOptions,
} from "./beacon.js";
