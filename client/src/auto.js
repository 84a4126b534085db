/**
 * Events that nobody has to write code for: links that lead away, downloads, forms,
 * and what the page marks with data-beacon-event. A few listeners at the top of the
 * page hear of them all, also of elements that come later.
 *
 * Nothing a visitor typed is reported, of addresses only origin and path, and no
 * click or form is held up: what is logged is sent with the page's other events.
 */

/**
 * @typedef {(msg: string, data: object) => void} Log
 * @typedef {object} AutoOptions
 * @property {Log} [log]
 * @property {boolean} [outbound]
 * @property {boolean | string[]} [downloads]
 * @property {boolean} [forms]
 * @property {boolean} [events]
 * @property {string[]} [internal]
 * @property {(url: URL) => string | undefined} [url]
 * @typedef {{options: AutoOptions, stop: () => void, clicked?: unknown}} State what all copies of this module on one page share
 */

/** Endings of what browsers save rather than show, and of documents that are read elsewhere. */
const FILES =
  "7z apk avi bz2 csv deb dmg doc docx epub exe gz iso jar key mkv mov mp3 mp4 msi numbers odp ods odt pages pdf pkg ppt pptx rar rpm rtf tar tgz txt wav webm wma wmv xls xlsx xz zip".split(" ");

const EVENT = "data-beacon-event";
const MARK = Symbol.for("beacon.auto");

const w = /** @type {any} */ (globalThis.window || globalThis);

/**
 * Runs f, the fault of which must not be one of the page.
 * @template T
 * @param {() => T} f
 * @returns {T | undefined}
 */
const quietly = (f) => {
  try {
    return f();
  } catch {
    return undefined;
  }
};

// By the prototype: a field named "getAttribute" hides its form's own.
/** @param {any} el @param {string} name @returns {string | null} */
const attr = (el, name) => w.Element.prototype.getAttribute.call(el, name);
/** @param {any} el of any window, or something else @param {string} selector */
const is = (el, selector) => quietly(() => w.Element.prototype.matches.call(el, selector));

/** What the page says about an element: data-beacon-plan-name="pro" is planName. @param {any} el */
const details = (el) => {
  /** @type {[string, string | null][]} */
  const found = [];
  for (const name of w.Element.prototype.getAttributeNames.call(el)) {
    if (!name.startsWith("data-beacon-") || name === EVENT) continue;
    const key = name.slice(12).replace(/-(.)/g, (/** @type {string} */ _, /** @type {string} */ c) => c.toUpperCase());
    found.push([key, attr(el, name)]);
  }
  return Object.fromEntries(found);
};

/**
 * An address without what may be private in it: of a mailto: or tel: link nothing
 * but that it is one.
 * @param {URL} url
 * @param {AutoOptions} options
 */
const cut = (url, options) => (options.url ? options.url(url) : /^(https?|ftp):$/.test(url.protocol) ? url.origin + url.pathname : url.protocol);

/** @param {any} el @param {string} name */
const address = (el, name) => {
  const given = attr(el, name) ?? attr(el, "xlink:" + name);
  return given === null ? undefined : quietly(() => new URL(given, w.document.baseURI));
};

/** @param {URL} url @param {AutoOptions} options */
const leads = (url, options) => {
  if (/^(mailto|tel|sms|callto|geo|facetime|whatsapp):$/.test(url.protocol)) return true;
  if (!/^(https?|ftp):$/.test(url.protocol)) return false; // javascript:, blob:, about:
  const own = w.location.host || new URL(w.document.baseURI).host; // a srcdoc frame has no host
  return url.host !== own && !options.internal?.some((host) => url.hostname === host || url.hostname.endsWith("." + host));
};

/**
 * What a link does, apart from leading on within the site.
 * @param {any} link
 * @param {AutoOptions} options
 * @returns {[string, object] | undefined}
 */
const follow = (link, options) => {
  const url = address(link, "href");
  if (!url) return;
  const { downloads = true } = options;
  const endings = Array.isArray(downloads) ? downloads : FILES;
  const ending = /\.(\w+)$/.exec(url.pathname)?.[1].toLowerCase();
  if (downloads && (attr(link, "download") !== null || (ending && /^(https?|ftp):$/.test(url.protocol) && endings.includes(ending)))) {
    return ["download", { url: cut(url, options) }];
  }
  if (options.outbound !== false && leads(url, options)) return ["outbound", { url: cut(url, options) }];
};

/**
 * @param {string | null} name
 * @param {any} el
 * @param {[string, object] | undefined} found what the element does by itself
 * @param {AutoOptions} options
 */
const tell = (name, el, found, options) => {
  const log = options.log || defaultLog;
  if (name) log(name, { ...found?.[1], ...details(el) });
  else if (found) log(...found);
};

/** Of whichever copy of the client is on the page. @type {Log} */
const defaultLog = (msg, data) => (w[Symbol.for("beacon")] || w.beacon)?.log?.(msg, data);

/** @param {any} e @param {State} state */
const click = (e, state) => {
  const { options } = state;
  // Right clicks lead nowhere; what the middle button does is told as auxclick, by older WebKit as click.
  if (e.type === "auxclick" ? e.button !== 1 : e.button > 1) return;
  const path = e.composedPath();
  const link = path.find((/** @type {any} */ el) => is(el, "a,area") && address(el, "href"));
  const marked = options.events === false ? undefined : path.find((/** @type {any} */ el) => is(el, `[${EVENT}]:not(form)`));
  const name = marked ? attr(marked, EVENT) : null;
  if (name === "") return; // the page wants nothing told of what is in here
  if (name && marked !== link && state.clicked !== marked) tell(name, marked, undefined, options);
  // A click on a label is followed, in the same task, by one on what it labels.
  state.clicked = marked;
  w.setTimeout(() => {
    if (state.clicked === marked) state.clicked = undefined;
  });
  if (link) tell(marked === link ? name : null, link, follow(link, options), options);
};

/** @param {any} e @param {State} state */
const submit = (e, { options }) => {
  const form = e.composedPath()[0];
  if (!is(form, "form")) return;
  const name = options.events === false ? null : attr(form, EVENT);
  if (name === "" || (options.forms === false && !name)) return;
  const by = e.submitter && attr(e.submitter, "formaction") !== null ? address(e.submitter, "formaction") : address(form, "action");
  tell(name, form, ["form", { id: attr(form, "id") ?? undefined, name: attr(form, "name") ?? undefined, action: by && cut(by, options) }], options);
};

/**
 * Starts telling. There is one of it on a page: called again, it takes the options
 * of the last call.
 * @param {AutoOptions} [options]
 * @returns {() => void} ends it
 */
export const auto = (options = {}) => {
  const { document } = w;
  if (!document) return () => {}; // on a server
  /** @type {State | undefined} */
  const running = w[MARK];
  if (running) {
    running.options = options;
    return running.stop;
  }
  const ears = new AbortController();
  /** @type {State} */
  const state = (w[MARK] = {
    options,
    stop: () => {
      ears.abort();
      if (w[MARK] === state) w[MARK] = undefined;
    },
  });
  const roots = new WeakSet();
  /** @param {any} target @param {string} type */
  const listen = (target, type) => target.addEventListener(type, hear, { capture: true, passive: true, signal: ears.signal });
  /** @param {any} e */
  const hear = (e) =>
    quietly(() => {
      // Submissions do not leave a shadow tree, so it has to be listened to as soon
      // as a visitor does something in it.
      for (const root of e.composedPath()) {
        if (root.nodeType !== 11 || roots.has(root)) continue;
        roots.add(root);
        listen(root, "submit");
      }
      if (e.type === "submit") submit(e, state);
      else if (/click/.test(e.type)) click(e, state);
    });
  for (const type of ["click", "auxclick", "submit", "focusin", "keydown"]) listen(w, type);
  return state.stop;
};
