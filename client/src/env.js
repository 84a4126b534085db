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
  fetch,
  /** @type {((url: string, init: RequestInit & {activateAfter?: number}) => {readonly activated: boolean}) | undefined} */
  fetchLater,
  setTimeout,
  clearTimeout,
} = w;
export const sendBeacon = nav.sendBeacon?.bind(nav);

// Numbers that are used more than once stand where they are used, as the builder
// does not put constants in: 6e4 is the largest body, in bytes, as browsers stop at
// 64 KiB, some with the headers; 18e5 is half an hour and 864e5 a day, in
// milliseconds.

/**
 * Milliseconds since the epoch, by a clock that does not jump while the page
 * lives, so that the times of one page can be compared.
 */
export const now = () => Math.round(performance.timeOrigin + performance.now());

/** 96 random bits. Unlike randomUUID it is there without TLS too. */
export const newId = () => crypto.getRandomValues(new Uint32Array(3)).reduce((s, n) => s + n.toString(36), "");

/** Stands for the session and the page view where there is no better id. */
export const page = newId();

/** The length in UTF-8. @param {string} s */
export const bytes = (s) => new TextEncoder().encode(s).length;

export const hidden = () => doc.visibilityState === "hidden";

/** Only "no" can be believed: a browser is "online" as soon as there is a cable. */
export const offline = () => nav.onLine === false;

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

/**
 * @param {{addEventListener?: any}} target
 * @param {string} types separated by spaces
 * @param {(event: any) => void} f
 */
export const on = (target, types, f) =>
  types.split(" ").map((type) => target.addEventListener?.(type, (/** @type {any} */ e) => quietly(() => f(e)), true));
