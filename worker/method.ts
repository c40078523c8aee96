/** Fresh adapters of records. */
import { adapt, type Model } from "../core/mod.ts";
import { filled, optionsFromJson } from "../core/options/mod.ts";
import { loadAdapter } from "../io/load_adapter.ts";
import { knownMethods } from "../io/records/known_methods.ts";
import { methodOfRecord, type MethodRecord } from "../io/records/method_record.ts";
import { trainStage } from "../recipes/stage.ts";
import { batchOf, type Rows, type TrainOptions } from "../train/mod.ts";
import { plain, type Started } from "../tuning/prepare.ts";
import { rangeError } from "../errors/error.ts";

/** What methods that prepare a run are given of it. */
export interface Data {
  readonly rows: Rows;
  /** Options of a stage with a number of steps. */
  options(steps: number): TrainOptions;
  /** Steps of the run. */
  readonly steps: number;
  readonly seed: number;
}

/**
 * A fresh adapter of a record, and the model that it is for.
 *
 * @throws {RangeError} METHOD_UNKNOWN when there is none of the name.
 */
export async function started<M extends Model>(
  record: MethodRecord,
  model: M,
  data: Data,
): Promise<Started<M>> {
  const known = knownMethods();
  const definition = known.get(record.method);
  if (definition.prepare === undefined) {
    const integers = (path: string): never => {
      throw rangeError(
        "METHOD_UNKNOWN",
        `Cannot make "${record.method}" from options alone: it needs "${path}"`,
      );
    };
    const method = methodOfRecord(record, { model, params: {}, at: "", integers }, known);
    return plain(model, adapt(model, method, data.seed));
  }
  const { rows, seed } = data;
  const prepared = await definition.prepare({
    model,
    options: filled(optionsFromJson(record.config ?? {}), { ...definition.options, ...definition.cli?.also }),
    seed,
    batches: (most) =>
      Array.from(
        { length: Math.min(rows.count, most) },
        (_, i) =>
          batchOf(rows, { rows: [[i]], targets: 0 }, {
            ...data.options(1),
            batching: { kind: "buckets", batchSize: 1 },
          }),
      ),
    load: (folder) => loadAdapter(folder, model),
    train: (adapter, { steps = data.steps, clipGroup }) =>
      trainStage(model, adapter, rows, {
        ...clipGroup && { clipGroup },
        ...data.options(steps),
        maxSteps: steps,
      }),
    steps: data.steps,
    method: known.get,
  });
  return {
    ...plain((prepared.base as M | undefined) ?? model, prepared.adapter),
    ...prepared.finish && { finish: prepared.finish },
    ...prepared.dispose && { release: () => {}, dispose: prepared.dispose },
  };
}
