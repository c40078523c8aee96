/** The sizes of rows that a run's memory is planned by. */
import { type ExampleSizes, pickRows, type Rows } from "../../train/mod.ts";
import type { Data, DataFlags } from "../data.ts";
import type { FinetuneFlags } from "./settings.ts";

/** What is held out: as asked, by default a tenth of the examples, and no more than a short evaluation takes. */
export function heldOutOf(
  { heldOut, evalData }: FinetuneFlags,
): Pick<DataFlags, "heldOut" | "mostHeldOut"> {
  if (heldOut !== undefined) return { heldOut };
  return evalData === undefined ? { heldOut: 0.1, mostHeldOut: 128 } : { heldOut: 0 };
}

/** The sizes of a run's training and evaluation data. */
export interface PlannedSizes {
  readonly train: ExampleSizes;
  /** Absent where nothing is held out. */
  readonly evaluated?: ExampleSizes;
  /** Texts in a row: 2 of pairs. */
  readonly texts: number;
  /** Texts in a row that are compared by vectors. */
  readonly groups?: number;
  /** Rows there are for each that was counted, where some are still being counted; default 1. */
  readonly rowsPerSize?: number;
}

/** The sizes of a run's rows. */
export async function plannedSizes(data: Data, other: Data | undefined): Promise<PlannedSizes> {
  const rows = other === undefined ? data.heldOut : other.train;
  const { pairTexts } = data;
  if (pairTexts !== undefined) {
    const evaluated = other === undefined ? pairTexts.heldOut : other.pairTexts!.train;
    return { train: pairTexts.train, ...rows.count > 0 && { evaluated }, texts: 2 };
  }
  const train = await knownSizes(data.train);
  const rowsPerSize = data.train.count / Math.max(1, train.lengths.length);
  // The evaluation of vectors takes less than a step.
  if (data.groups !== undefined) return { train, texts: 1, groups: data.groups, rowsPerSize };
  return { train, rowsPerSize, ...rows.count > 0 && { evaluated: await knownSizes(rows) }, texts: 1 };
}

/** Rows that a plan goes by where the others are still being counted. */
const SAMPLE = 256;

/** The sizes of all rows, or of a sample at equal distances while others are being counted. */
async function knownSizes(rows: Rows): Promise<ExampleSizes> {
  if (rows.sized === undefined || rows.count <= SAMPLE) {
    await rows.sized?.();
    return rows;
  }
  const sample = pickRows(
    rows,
    Array.from({ length: SAMPLE }, (_, i) => Math.floor(i * rows.count / SAMPLE)),
  );
  await sample.sized!();
  return sample;
}
