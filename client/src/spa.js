/** Single-page apps: pages whose address changes without a page being loaded. */
import { on, setTimeout, w } from "./env.js";

/**
 * Calls f when the address may have changed: once for all changes of a task, as
 * routers replace what they have just pushed.
 * @param {() => unknown} f
 */
export const watch = (f) => {
  /** @type {any} */
  let due;
  const soon = () => {
    due ||= setTimeout(() => {
      due = 0;
      f();
    }, 0);
  };
  const { history } = w;
  // Not by w.navigation: where it is not built in, it may be an element of that id.
  if (w.NavigateEvent) on(w.navigation, "currententrychange", soon);
  else {
    on(w, "popstate hashchange", soon);
    // A proxy: to whoever looks at it or calls it, it is what it was.
    for (const name of ["pushState", "replaceState"]) {
      history[name] = new Proxy(history[name], { apply: (...call) => (soon(), Reflect.apply(...call)) });
    }
  }
};
