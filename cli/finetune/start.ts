/**
 * Where a run begins, kept in its folder where it took stages to get there: a run that is continued begins from the same
 * numbers without taking them again.
 */
import { dispose, type Model } from "../../core/mod.ts";
import { writeTextAtomically } from "../../formats/atomic_write.ts";
import { graftRecord, loadGraftAdapter, saveGraftAdapter } from "../../io/graft_adapter.ts";
import type { RunFolder } from "../../io/run_folder.ts";
import { optionalFile } from "../../io/tokenizer_files.ts";
import type { StateRecord } from "../../io/training_state.ts";
import { plain, start, type StartData, type Started } from "../../tuning/prepare.ts";
import type { FinetuneFlags } from "./settings.ts";
import { isStaged } from "../../tuning/stages.ts";

/** What a run knows before its first step. */
export interface Beginning<M extends Model> {
  readonly model: M;
  readonly flags: FinetuneFlags;
  readonly data: StartData;
  /** Modules of the head that no checkpoint has. */
  readonly fresh: readonly string[];
  readonly folder: RunFolder;
  /** What decides the numbers: data, base and options. */
  readonly record: StateRecord;
}

/** Prepares a run, or takes up what an earlier one of the same record prepared. */
export async function startIn<M extends Model>(given: Beginning<M>): Promise<Started<M>> {
  const { model, flags, data, fresh, folder } = given;
  if (!isStaged(flags.method)) return await start(model, flags, data, fresh);
  const kept = folder.start;
  const mark = `${kept}/record.json`;
  const record = JSON.stringify(given.record);
  const earlier = await optionalFile(mark);
  if (earlier === undefined || new TextDecoder().decode(earlier) !== record) {
    const begun = await start(model, flags, data, fresh);
    folder.create();
    await saveGraftAdapter(kept, begun.adapter, model);
    await writeTextAtomically(mark, record);
    dispose(begun.adapter.params);
  }
  // Loaded even when it was just made: sums over parameters must come in the same order after resuming.
  return plain(model, await loadGraftAdapter(kept, (await graftRecord(kept))!, model, "default"));
}
