import type { Beacon } from "./beacon.js";

declare global {
  /** What the classic script makes global. While it is still to come, the queue stub has the functions. */
  var beacon: Beacon;
}
