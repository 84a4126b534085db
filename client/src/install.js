import { AppendableBeacon, PendingBeacon, PendingGetBeacon, PendingPostBeacon, ReplaceableBeacon } from "./core.js";
import { w } from "./env.js";

export const classes = { PendingBeacon, PendingGetBeacon, PendingPostBeacon, AppendableBeacon, ReplaceableBeacon };

/** Makes the classes global, as they are where the browser has them: in secure contexts. */
export const install = () => {
  if (w.isSecureContext !== false) Object.assign(w, classes);
};
