/** Why a beacon was given up. */
export interface Failure {
  /**
   * - `size`: more than 60,000 bytes at the end of the page
   * - `status`: the server refused it for good
   * - `attempts`: it was tried five times
   * - `expired`: it is older than a day
   * - `full`: too many wait to be tried again
   * - `data`: it cannot be written as JSON (of `log`)
   * - `consent`: the visitor does not agree, or there is no room to wait for that
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
  /** Milliseconds from when the page is hidden until it is sent. Negative: at the end of the page. */
  backgroundTimeout?: number;
  /** As of fetch. sendBeacon always includes cookies, so it is not used with `same-origin`. */
  credentials?: "include" | "same-origin";
  /**
   * The token that the server put into the page. Only needed without `init`, or for
   * another endpoint: a beacon to the endpoint of `init` has that one's. It goes in the
   * envelope of a series, and else in the query, as `_t`.
   */
  token?: string;
  /** `store`: while the page is hidden keep it, and rely on the crash store. */
  onHidden?: "store";
  /** Called with what could not be delivered. */
  onerror?: (failure: Failure) => void;
}

export interface PendingBeaconOptions extends BeaconOptions {
  /**
   * Query parameter that tells the receiver `<id>.<revision>`, so that it can drop
   * twins. With it a beacon is also sent twice to be sure: in both events at the end
   * of a page, and by a later page if this one crashes. Without it, it is sent again
   * only if the answer to the first attempt was a failure or did not come.
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
  /** Sends it now, unless it is on its way. */
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
  /** Where the server listens. Default: `/_pb` */
  endpoint?: string;
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
  /** Other origins that stored beacons may be sent to by a later page. As text: separated by spaces or commas. */
  origins?: string[] | string;
  /** Send what the browser took, but may have lost, once more on the next visit. */
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
  /** Goes with every event. As text: JSON. */
  props?: object | string;
  /**
   * Tells what the client does: true loads the file of the debug mode from beside the
   * endpoint, text from there, and a function is that of the module `debug`.
   */
  debug?: boolean | string | ((hooks: any) => unknown);
  /** Called with what could not be delivered. */
  onerror?: (failure: Failure) => void;
}

/**
 * Starts: sessions, page views, engaged time, the crash store. Again, it changes
 * options; the next page view has them, and what the page said by `consent` stays.
 * @throws TypeError unless the endpoint is https, or http to this machine, or http to
 *	the origin of a page that is http itself
 */
export function init(options?: InitOptions): void;
/** Logs an event of the page view. Does not throw. Before `init` it does nothing. */
export function log(message: string, data?: object): void;
/** Begins a page view, in a page that changes without being loaded. The data go with its reports. */
export function view(name?: string, data?: object): void;
/**
 * Says whether the visitor agrees to be recorded. A denial is remembered on the device,
 * for all tabs, until a page says `granted`.
 */
export function consent(state: "granted" | "denied" | "pending"): void;
/** Sends all that waits, now. */
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
