/** Why a beacon was given up. */
export interface Failure {
  /**
   * - `size`: more than 60,000 bytes at the end of the page
   * - `status`: the server refused it for good
   * - `attempts`: it was tried five times; or once, without ids, at the end of a page or
   *   where another origin does not let its answer be read
   * - `expired`: it is older than a day
   * - `full`: more than twenty wait to be tried again
   * - `data`: it cannot be written as JSON (of `log`)
   * - `consent`: the visitor does not agree, or too much waits for that
   */
  reason: "size" | "status" | "attempts" | "expired" | "full" | "data" | "consent";
  url: string;
  /** HTTP status, for `status` and `attempts`. */
  status?: number;
  error?: unknown;
}

export interface BeaconOptions {
  /** Milliseconds from now, or from when there is data, until it is sent. Negative: none. */
  timeout?: number;
  /** Milliseconds from when the page is hidden until it is sent, 30 minutes at most. Negative or 0: at once. */
  backgroundTimeout?: number;
  /**
   * As of fetch: `include`, the default, needs a server of another origin to answer CORS
   * with credentials. sendBeacon always includes cookies, so it is not used with `same-origin`.
   */
  credentials?: "include" | "same-origin";
  /**
   * The token that the server put into the page. Only needed without `init`, or for
   * another endpoint: a beacon to the endpoint of `init` has that one's. It goes in the
   * envelope of a series, and else in the query, as `_t`. The classes of `core` do not
   * look at it: give them a URL with `_t`.
   */
  token?: string;
  /**
   * `store`: while the page is hidden keep it, and rely on the crash store. It is sent when
   * the page ends. Without the store (`light`, `core`) it waits in memory.
   */
  onHidden?: "store";
  /** Called with what could not be delivered. */
  onerror?: (failure: Failure) => void;
}

export interface PendingBeaconOptions extends BeaconOptions {
  /**
   * Query parameter that tells the receiver `<id>.<revision>`, so that it can drop
   * twins. With it a beacon is kept until there is an answer, and a later page sends it
   * again if this one ended before. Without it, it is sent again only if an attempt
   * failed while the page lives, and never where another origin hides its answer.
   */
  idParam?: string;
}

export interface PendingPostBeaconOptions extends PendingBeaconOptions {
  /** Send it even if it never got data. */
  sendEmpty?: boolean;
}

export interface SeriesBeaconOptions extends BeaconOptions {
  /** Identifies the series to the server. Unique if not given. */
  key?: string;
}

/** What all beacons have in common. Not to be constructed. */
export abstract class PendingBeacon {
  protected constructor(url: string, options?: BeaconOptions);
  /** As it was given. */
  readonly url: string;
  readonly method: "GET" | "POST";
  /** Whether it can still be changed: not sent, not failed, not deactivated. */
  readonly pending: boolean;
  timeout: number;
  backgroundTimeout: number;
  /** Takes it back, unless it is on its way. */
  deactivate(): void;
  /** Sends it now, unless it is on its way; without consent, as soon as there is consent. */
  sendNow(): void;
}

/** A GET request, held from the start. */
export class PendingGetBeacon extends PendingBeacon {
  /** @throws TypeError unless url is https, or http to this machine */
  constructor(url: string | URL, options?: PendingBeaconOptions | null);
  readonly method: "GET";
  /** @throws TypeError as the constructor */
  setURL(url: string | URL): void;
}

export type BeaconData = ArrayBuffer | ArrayBufferView | Blob | string | FormData | URLSearchParams;

/** A POST request, held while it has data. */
export class PendingPostBeacon extends PendingBeacon {
  /** @throws TypeError unless url is https, or http to this machine */
  constructor(url: string | URL, options?: PendingPostBeaconOptions | null);
  readonly method: "POST";
  /**
   * Replaces the data; null takes it back.
   * @throws TypeError for a stream
   */
  setData(data: BeaconData | null | undefined): void;
}

/** Collects items, which the server adds up. `pending`: has items that were not sent. */
export class AppendableBeacon extends PendingBeacon {
  /** @throws TypeError unless url is https, or http to this machine */
  constructor(url: string | URL, options?: SeriesBeaconOptions | null);
  readonly method: "POST";
  /** @throws TypeError for what JSON cannot hold */
  appendData(data: unknown, name?: string): void;
}

/** Holds one value, of which the server keeps the last. `pending`: has one that was not sent. */
export class ReplaceableBeacon extends PendingBeacon {
  /** @throws TypeError unless url is https, or http to this machine */
  constructor(url: string | URL, options?: SeriesBeaconOptions | null);
  readonly method: "POST";
  /**
   * @throws TypeError for what JSON cannot hold
   * @throws RangeError for more than about 60,000 bytes
   */
  replaceData(data: unknown, name?: string): void;
}

export interface InitOptions {
  /** Where the server listens: https, or http to this machine. Default: `/_pb` */
  endpoint?: string | URL;
  /**
   * The token that the server put into the page, by which it knows its own. It is valid
   * for two days: `init({ token })` again gives a page that stays open a new one, also
   * for what is still to be sent. It is not stored.
   */
  token?: string;
  /**
   * `required`: nothing is stored or sent before `consent("granted")`. `denied` is a
   * denial, as by `consent`. What is none of these words does not grant. Default: `granted`
   */
  consent?: "required" | "granted" | "pending" | "denied";
  /** What Global Privacy Control does: nothing is sent, or it is sent with a flag. Default: `block` */
  gpc?: "block" | "flag";
  /**
   * Origins that beacons stored by an earlier page may be sent to, though this page sends
   * nothing there itself. As text: separated by spaces or commas.
   */
  origins?: string[] | string;
  /** `atLeastOnce`: send what the browser took, but may have lost, once more on the next visit. */
  reliability?: "atLeastOnce";
  /**
   * What is sent of the address of the page, and of the referrer: origin and path, all
   * but the fragment, nothing, or what a function makes of it. Default: `path`
   */
  page?: "path" | "full" | "none" | false | ((url: string) => string | null | undefined | false);
  /**
   * Whether a change of the address begins a page view, as `page` tells it. With `hash`
   * the fragment is part of it. It has to be there when the client starts. Default: false
   */
  spa?: boolean | "hash";
  /** Members of the data of every event, unless it has its own of that name. As text: JSON. */
  props?: object | string;
  /**
   * Tells what the client does: true loads `./_pb.debug.mjs` from beside the script, text
   * is the URL of that file, and a function is that of the module `debug`. In a bundle
   * only the function works.
   */
  debug?: boolean | string | ((hooks: any) => unknown);
  /** Called with what could not be delivered. Without it the console is told, but for `consent`. */
  onerror?: (failure: Failure) => void;
}

/**
 * Starts: sessions, page views, engaged time, the crash store. Again, it changes
 * options; the next page view has them, and what the page said by `consent` stays.
 * To be called in a browser, and not on a server.
 * @throws TypeError unless the endpoint is https, or http to this machine
 */
export function init(options?: InitOptions): void;
/** Logs an event of the page view. Does not throw, whatever it is given. Before `init` it does nothing. */
export function log(message: string, data?: object): void;
/**
 * Begins a page view, in a page that changes without being loaded. The data go with its
 * reports, until the next view.
 */
export function view(name?: string, data?: object): void;
/**
 * Says whether the visitor agrees to be recorded. A denial is remembered on the device,
 * for all tabs, until a page says `granted`.
 */
export function consent(state: "granted" | "denied" | "pending"): void;
/** Sends all that waits, now; without consent, as soon as there is consent. */
export function flush(): void;
/** Makes the classes global, in secure contexts. */
export function install(): void;

/** The client of a page, of which there is one however often the script is there. */
export interface Beacon {
  readonly init: typeof init;
  readonly log: typeof log;
  readonly view: typeof view;
  readonly consent: typeof consent;
  readonly flush: typeof flush;
  readonly install: typeof install;
  readonly PendingBeacon: typeof PendingBeacon;
  readonly PendingGetBeacon: typeof PendingGetBeacon;
  readonly PendingPostBeacon: typeof PendingPostBeacon;
  readonly AppendableBeacon: typeof AppendableBeacon;
  readonly ReplaceableBeacon: typeof ReplaceableBeacon;
  /** The id of the session, or "" if there is none. */
  readonly session: string;
}
export const beacon: Beacon;
