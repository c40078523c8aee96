/** Where a run computes: a run that goes on computes where it began. */
import { openTrainingState, type StateRecord } from "../../io/training_state.ts";
import type { RunFolder } from "../../io/run_folder.ts";
import { BACKEND_NAMES } from "../../ops/auto/mod.ts";
import { whyNotNative } from "../../ops/native/mod.ts";
import { type BackendFlags, type BackendName, withBackend } from "../load.ts";
import { note } from "../terminal/output.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Flags with the backend of a run: as given; with "auto" the one that the run began on, or the one that fits.
 *
 * @throws {RangeError} when the run began on the native backend, which does not start here.
 */
export async function withRunsBackend<F extends BackendFlags>(
  flags: F,
  folder: Pick<RunFolder, "continues" | "state" | "path">,
): Promise<F & { readonly backend: BackendName }> {
  if (flags.backend !== "auto" || !folder.continues) return await withBackend(flags);
  const backend = recordedBackend(folder.state);
  if (backend === undefined) return await withBackend(flags);
  const why = backend === "native" ? await whyNotNative() : undefined;
  if (why !== undefined) {
    throw rangeError(
      "CANNOT_RESUME",
      `Cannot resume ${folder.path}: it began on the native backend, which does not start here, because ${why}`,
    );
  }
  note(`Computing on ${backend}: the run began there`);
  return { ...flags, backend };
}

/** The backend that a checkpoint names. */
export function recordedBackend(path: string): BackendName | undefined {
  using state = openTrainingState(path);
  const { backend } = (state.record["options"] ?? {}) as StateRecord;
  return BACKEND_NAMES.find((name) => name === backend);
}
