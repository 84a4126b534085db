import type { Beacon } from "./beacon.js";

export type { Beacon };

declare global {
  /**
   * Of the classic script. While that is still to come, there is none; or the queue's, which
   * has the functions, and neither the classes nor `session`.
   */
  var beacon: Beacon;
}
