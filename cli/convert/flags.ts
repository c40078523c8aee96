/** What `graft convert` is given, for adapters and models alike. */
import type { ModelFlags } from "../load.ts";

/** What the command was given. */
export interface ConvertFlags extends ModelFlags {
  readonly to?: string;
  readonly name?: string;
  readonly rank?: number;
  readonly error?: number;
  readonly dtype?: string;
  readonly requantize?: true;
  readonly overwrite?: true;
  readonly json?: true;
}
