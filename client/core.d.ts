/**
 * The beacon classes alone: no store, no session, no consent. The option `token` has no
 * effect, and with `onHidden` a beacon waits in memory.
 */
export { AppendableBeacon, PendingBeacon, PendingGetBeacon, PendingPostBeacon, ReplaceableBeacon } from "./beacon.js";
export type {
  BeaconData, BeaconOptions, Failure, PendingBeaconOptions, PendingPostBeaconOptions, SeriesBeaconOptions,
} from "./beacon.js";
