/** The flags of `graft convert`, for adapters and models. */
import type { ModelFlags } from "../load.ts";

/** The command's flags. */
export interface ConvertFlags extends ModelFlags {
  readonly to?: string;
  readonly name?: string;
  readonly rank?: number;
  readonly error?: number;
  readonly dtype?: string;
  readonly requantize?: true;
  readonly force?: true;
  readonly overwrite?: true;
  readonly ollama?: string;
  readonly quiet?: true;
  readonly json?: true;
}
