/** The reference of preference tuning: its log-probabilities of a run's answers, kept with the checkpoint. */
import { createHash } from "node:crypto";
import { type Adapter, bytesOf, graft, leaves, type Model } from "../../core/mod.ts";
import type { RunFolder } from "../../io/run_folder.ts";
import type { StateRecord } from "../../io/training_state.ts";
import { type PreferenceRows, type Rows, withReference, type World } from "../../train/mod.ts";
import type { Data } from "../data.ts";
import { counter } from "../terminal/counter.ts";
import { note, showUnits } from "../terminal/output.ts";
import { openReferenceFile } from "./reference_file.ts";
import type { FinetuneFlags } from "./settings.ts";

/** What a run compares with, and where. */
export interface References {
  readonly flags: FinetuneFlags;
  readonly folder: RunFolder;
  readonly model: Model;
  /** The adapter that the run goes on from. */
  readonly from: Adapter | undefined;
  /** What determines the run. */
  readonly record: StateRecord;
  readonly pad: number;
  /** The processes that share the work out. */
  readonly world: World;
}

/** The data of a run, with what is to be closed after it. */
export interface Referred extends Disposable {
  readonly data: Data;
  readonly other: Data | undefined;
}

/**
 * The data with the log-probabilities of its answers under the reference, where the objective compares with one: computed once,
 * since they do not change, and read from the checkpoint when the run is resumed.
 */
export async function withReferences(
  references: References,
  data: Data,
  other: Data | undefined,
): Promise<Referred> {
  const { flags, folder, model, from, record, pad, world } = references;
  if (flags.objective !== "dpo" && flags.objective !== "ipo") {
    return { data, other, [Symbol.dispose]: () => {} };
  }
  folder.create();
  const reference = from === undefined ? model : graft(model, from);
  const identity = JSON.stringify({ ...record, from: from === undefined ? null : await hashOf(from) });
  const opened: Disposable[] = [];
  const close = (): void => opened.forEach((file) => file[Symbol.dispose]());
  const known = async (part: string, rows: Rows, counts: ArrayLike<number>): Promise<Rows> => {
    if (rows.count === 0) return rows;
    const store = openReferenceFile(`${folder.references}/${part}.f32`, counts, identity);
    opened.push(store);
    if (store.complete) {
      note(`The reference's log-probabilities of ${showUnits(rows.count, "pair")} are known from before`);
    } else note(`Computing the reference's log-probabilities of ${showUnits(rows.count, "pair")}`);
    const shown = counter("Computing", rows.count, "pairs");
    try {
      const { batchSize } = flags;
      const found = await withReference(rows as PairRows, reference, {
        batchSize,
        pad,
        world,
        between: shown.at,
        store,
      });
      if (!store.complete) await store.finish();
      return found;
    } finally {
      shown.stop();
    }
  };
  const parts = async (name: string, all: Data): Promise<Data> => ({
    ...all,
    train: await known(`${name}train`, all.train, all.pairTexts!.train.targets),
    heldOut: await known(`${name}held-out`, all.heldOut, all.pairTexts!.heldOut.targets),
  });
  try {
    return {
      data: await parts("", data),
      other: other && await parts("other-", other),
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

type PairRows = Rows & Pick<PreferenceRows, "batch">;

/** A fingerprint of an adapter's numbers. */
async function hashOf({ params }: Adapter): Promise<string> {
  const hash = createHash("sha256");
  for (const [, leaf] of leaves(params)) hash.update(await bytesOf(leaf));
  return hash.digest("hex");
}
