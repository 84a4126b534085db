import type { Beacon } from "./beacon.js";

export type { Beacon };

declare global {
  /** Of the classic script. While it is still to come, the queue stub has the functions. */
  var beacon: Beacon;
}
