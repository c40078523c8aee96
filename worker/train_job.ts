/** A training run from its description, in whichever thread this is. */
import type { Backend } from "../core/mod.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { type AdapterData, adapterData } from "../io/adapter_data.ts";
import { knownMethods } from "../io/records/known_methods.ts";
import type { MethodRecord } from "../io/records/method_record.ts";
import {
  encodeExample,
  examplesOf,
  type GradientFunction,
  type Rows,
  rowsFrom,
  shapeOf,
  startTraining,
  type Tokens,
} from "../train/mod.ts";
import { disposeNew } from "../tuning/prepare.ts";
import type { WorkerRecords, WorkerStep, WorkerTraining } from "./jobs.ts";
import { started } from "./method.ts";
import { openModel } from "./opened.ts";
import { stepsOf, trainOptions } from "./train_options.ts";
import { rangeError } from "../errors/error.ts";

/** Trains, and frees all that it allocated. @throws the signal's reason when it is aborted. */
export async function trainJob(
  run: WorkerTraining & { readonly method: MethodRecord },
  backend: Backend,
  told: (step: WorkerStep) => void,
  signal: AbortSignal,
): Promise<AdapterData> {
  const model = await openModel(run, backend, signal);
  try {
    const rows = rowsOf(run.data, model.tokenizer);
    const { training, adapterSeed = training.seed ?? 0 } = run;
    const steps = stepsOf(training, rows);
    const pad = model.tokenizer.pad ?? 0;
    const { gradients } = knownMethods().get(run.method.method);
    const begun = await started(run.method, model, {
      rows,
      steps,
      seed: adapterSeed,
      options: (most) => ({ ...trainOptions({ ...training, maxSteps: most }, rows, pad), signal }),
    });
    try {
      const trained = await startTraining(begun.model, begun.adapter, rows, {
        ...trainOptions(training, rows, pad),
        ...gradients && { gradients: gradients as GradientFunction },
        signal,
      }).finally(begun.release);
      try {
        for (let step = await trained.next(); step !== undefined; step = await trained.next()) {
          told({ ...step, totalSteps: trained.totalSteps });
        }
        const finished = await begun.finish(trained.adapter());
        try {
          return await adapterData(finished, model);
        } finally {
          disposeNew(finished, trained.adapter());
        }
      } finally {
        trained.dispose();
      }
    } finally {
      begun.dispose();
    }
  } finally {
    model.dispose();
  }
}

/** Rows of token ids, or of records. @throws {RangeError} DATA_INVALID when there are none. */
export function rowsOf(data: readonly Tokens[] | WorkerRecords, tokenizer: Tokenizer): Rows {
  if (!("records" in data)) return filledRows(data);
  const { records, maxLength = 512, longPrompt = { keep: "head" } } = data;
  const examples = records.flatMap((value, i) => {
    const record = { file: "records", line: i + 1, value };
    return examplesOf(record, shapeOf(record));
  });
  return filledRows(examples.map((example) => encodeExample(example, tokenizer, { maxLength, longPrompt })));
}

function filledRows(rows: readonly Tokens[]): Rows {
  if (rows.length === 0) throw rangeError("DATA_INVALID", "Expected rows to train on but found none");
  return rowsFrom(rows);
}
