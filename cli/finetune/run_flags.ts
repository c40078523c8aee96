/** Flags of a valid run. */
import type { FinetuneFlags } from "./settings.ts";

/** Flags of a valid run. */
export type RunFlags = FinetuneFlags & {
  readonly data: string;
  readonly output: string;
  /** The options as a run file, which is kept in the folder. */
  readonly runFile?: string;
};
