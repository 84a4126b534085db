/** What the client tells the debug module. */
export interface DebugHooks {
  readonly options: Record<string, unknown>;
  readonly session: string | (() => string);
  /** Calls f with the code of a fault, or with what happens to a beacon. */
  listen(f: (what: string, detail?: unknown) => void): void;
}

/** Tells on the console what the client does, and why it does not. For `init({ debug })`. */
export default function debug(hooks: DebugHooks): Promise<void>;
