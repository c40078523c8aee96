/**
 * The starting point of a run, saved in its folder if earlier stages produced it: a resumed run starts from
 * the same values without repeating the stages.
 */
import { type Adapter, dispose, type Model } from "../../core/mod.ts";
import { writeTextAtomically } from "../../formats/atomic_write.ts";
import { graftRecord, loadGraftAdapter, saveGraftAdapter } from "../../io/graft_adapter.ts";
import type { RunFolder } from "../../io/run_folder.ts";
import { optionalFile } from "../../io/tokenizer_files.ts";
import type { StateRecord } from "../../io/training_state.ts";
import { plain, start, type StartData, type Started } from "../../tuning/prepare.ts";
import type { ChosenFlags } from "./settings.ts";
import { commandLineOf } from "../../tuning/chosen_method.ts";

/** The state of a run before its first step. */
export interface Beginning<M extends Model> {
  readonly model: M;
  readonly flags: ChosenFlags;
  readonly data: StartData;
  /** Modules of the head that the checkpoint lacks. */
  readonly fresh: readonly string[];
  readonly folder: RunFolder;
  /** What determines the values: data, base and options. */
  readonly record: StateRecord;
  /** The adapter to go on from. */
  readonly from?: Adapter | undefined;
}

/** Prepares a run, or loads what an earlier run with the same record prepared. */
export async function startIn<M extends Model>(given: Beginning<M>): Promise<Started<M>> {
  const { model, flags, data, fresh, folder, from } = given;
  if (from !== undefined) return plain(model, from);
  if (!commandLineOf(flags.definition).stages) return await start(model, flags, data, fresh);
  const kept = folder.start;
  const mark = `${kept}/record.json`;
  const record = JSON.stringify(given.record);
  const earlier = await optionalFile(mark);
  if (earlier === undefined || new TextDecoder().decode(earlier) !== record) {
    const begun = await start(model, flags, data, fresh);
    folder.create();
    await saveGraftAdapter(kept, begun.adapter, model, {}, flags.known);
    await writeTextAtomically(mark, record);
    dispose(begun.adapter.params);
  }
  // Loaded even when it was just created: sums over parameters must have the same order after resuming.
  return plain(
    model,
    await loadGraftAdapter(kept, (await graftRecord(kept))!, model, "default", flags.known),
  );
}
