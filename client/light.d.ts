/**
 * All but the crash store: what is not delivered when a page ends is lost. The options
 * `reliability` and `origins` have no effect.
 */
export * from "./beacon.js";
