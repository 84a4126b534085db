/**
 * What the client uses of the browser, taken when it is loaded: pages and other
 * scripts patch these functions later, and a patch must not see, lose or repeat
 * a beacon.
 */
export const w = /** @type {any} */ (globalThis.window || globalThis);
export const {
  /** @type {Document} */
  document: doc = {},
  /** @type {Navigator & {globalPrivacyControl?: boolean}} */
  navigator: nav = {},
  /** @type {Location} */
  location = {},
  performance,
  crypto,
  Date: clock,
  fetch,
  /** @type {((url: string, init: RequestInit & {activateAfter?: number}) => {readonly activated: boolean}) | undefined} */
  fetchLater,
  requestIdleCallback,
  setTimeout,
  setInterval,
  clearTimeout,
  opener,
  origin,
} = w;
/** It throws where the browser keeps a page from storing. @returns {Record<string, any>} */
export const storage = () => w.localStorage;
export const sendBeacon = nav.sendBeacon?.bind(nav);
/** Whether fetch can outlive the page: not in Firefox before 133. */
export const canKeep = fetch && w.Request && "keepalive" in w.Request.prototype;

// Numbers that are used more than once stand where they are used, as the builder
// does not put constants in: 6e4 is the largest body, in bytes, as browsers stop at
// 64 KiB, some with the headers; 18e5 is half an hour and 864e5 a day, in
// milliseconds.

/**
 * Runs f. What goes wrong in here is no business of the page.
 * @template T
 * @param {() => T} f
 * @returns {T | undefined}
 */
export const quietly = (f) => {
  try {
    return f();
  } catch {}
};

/** A copy without a prototype, which another script may have spoilt. @param {any} [o] @returns {any} */
export const own = (o) => Object.assign(Object.create(null), o);

let slept = 0;

/**
 * Milliseconds since the epoch, by a clock that does not jump while the page
 * lives, so that the times of one page can be compared. In some browsers it stands
 * still while the machine sleeps: it is set right then.
 */
export const now = () => {
  const t = performance.timeOrigin + performance.now();
  const ahead = clock.now() - t;
  if (ahead - slept > 6e4) slept = ahead;
  return Math.round(t + slept);
};

/** 96 random bits. Unlike randomUUID it is there without TLS too. */
export const newId = () =>
  quietly(() => crypto.getRandomValues(new Uint32Array(3)).reduce((s, n) => s + n.toString(36), "")) || `${Math.random()}`.slice(2);

/** Stands for the session and the page view where there is no better id. */
export const page = newId();

/** The length in UTF-8. @param {string} s */
export const bytes = (s) => new TextEncoder().encode(s).length;

/** @param {string} url @returns {string} without its query */
export const bare = (url) => url.split("?")[0];

export const hidden = () => doc.visibilityState === "hidden";

/** Only "no" can be believed: a browser is "online" as soon as there is a cable. */
export const offline = () => nav.onLine === false;

/** @type {(() => unknown)[]} */
const listeners = [];

/** Listens again: document.open takes all listeners away. To listen twice is to listen once. */
export const relisten = () => listeners.map((f) => f()).length;

/**
 * @param {{addEventListener?: any}} target
 * @param {string} types separated by spaces
 * @param {(event: any) => void} f
 */
export const on = (target, types, f) => {
  const g = (/** @type {any} */ e) => quietly(() => f(e));
  const listen = () => types.split(" ").map((type) => target.addEventListener?.(type, g, true));
  listeners.push(listen);
  listen();
};
