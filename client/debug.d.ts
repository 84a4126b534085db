/** What the client tells the debug module. */
export interface DebugHooks {
  readonly options: Record<string, unknown>;
  session(): string;
  /** What was wrong so far, to which the client adds. */
  readonly told: [what: string, detail?: unknown][];
}

/** Tells on the console what the client does, and why it does not. For `init({ debug })`. */
export default function debug(hooks: DebugHooks): Promise<void>;
