import type * as client from "./beacon.js";

type Client = Pick<
  typeof client,
  | "init" | "log" | "view" | "consent" | "install"
  | "PendingBeacon" | "PendingGetBeacon" | "PendingPostBeacon" | "AppendableBeacon" | "ReplaceableBeacon"
>;

/** What the classic script makes global. */
export interface Beacon extends Client {
  /** Sends all that waits, now. */
  flush(): void;
  /** The id of the session, or "". */
  readonly session: string;
}

declare global {
  /** Of the classic script. While it is still to come, the queue stub has the functions. */
  var beacon: Beacon;
}
