/** All but the crash store: what is not delivered when a page ends is lost. */
export * from "./beacon.js";
