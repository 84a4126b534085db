export interface AutoOptions {
  /** What the events are told to. Default: `log` of the client that the page has. */
  log?: (message: string, data: object) => void;
  /** Links to other hosts, `mailto:` and `tel:`, as "outbound" with `url`. Default: true */
  outbound?: boolean;
  /** Links with `download`, or to files with these endings, as "download" with `url`. Default: true, a list of common ones */
  downloads?: boolean | string[];
  /** Forms that are submitted, as "form" with `id`, `name` and `action`, never their values. Default: true */
  forms?: boolean;
  /** Elements with `data-beacon-event`, under that name with their other `data-beacon-…`. Default: true */
  events?: boolean;
  /** Hosts, with what is below them, that links may lead to without being outbound. */
  internal?: string[];
  /** What is told of an address. Default: origin and path; of other schemes the scheme. */
  url?: (url: URL) => string | undefined;
}

/**
 * Starts the automatic events. There is one of it on a page: called again, it takes the
 * options of the last call. It returns what ends it.
 */
export function auto(options?: AutoOptions): () => void;
