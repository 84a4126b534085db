/** What the client tells the debug module. */
export interface DebugHooks {
  readonly options: Record<string, unknown>;
  session(): string;
}

/** Tells on the console what the client does, and why it does not. For `init({ debug })`. */
export default function debug(hooks: DebugHooks): Promise<void>;
