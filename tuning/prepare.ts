/**
 * Preparation of a method before the first step, and completion after the last one: what its definition needs (data, a changed
 * base, sources, stages), a head trained along with it, networks that are dropped after training.
 */
import {
  adapt,
  type Adapter,
  type Batch,
  type BatchGradients,
  dispose,
  key,
  type Method,
  type Model,
  scope,
  type Synchronous,
  Tensor,
  type Tree,
} from "../core/mod.ts";
import { loadAdapter } from "../io/load_adapter.ts";
import { trainStage } from "../recipes/stage.ts";
import { batchOf, type Objective, objectiveGradients, type Rows } from "../train/mod.ts";
import { beside, headOf, replaced, withHead } from "./task_heads.ts";
import { completedOptions, type MethodFlags, methodFromFlags } from "./method_from_flags.ts";
import type { StageRun } from "./stages.ts";

/** A run's model and adapter at its first step. */
export interface Started<M extends Model> {
  /** The base of the adapter: the loaded model, or the same with other weights. */
  readonly model: M;
  readonly adapter: Adapter;
  /** The final adapter for the loaded model, from the trained one. The caller disposes its new tensors. */
  finish(trained: Adapter): Promise<Adapter>;
  /** Frees the initial parameters once the run has copied them. */
  release(): void;
  dispose(): void;
}

/** The data for methods that need it. */
export interface StartData {
  readonly rows: Rows;
  readonly batchSize: number;
  readonly pad: number;
  readonly stages: StageRun;
  /** What is trained for, where that is something else than labels. */
  readonly objective?: Objective | undefined;
}

/** Prepares a run. `fresh` are modules of the head that the checkpoint lacks. */
export async function start<M extends Model>(
  model: M,
  flags: MethodFlags & { readonly seed: number },
  data: StartData,
  fresh: readonly string[] = [],
): Promise<Started<M>> {
  const { definition, known, own, seed } = flags;
  const head = headOf(flags, model, fresh);
  if (definition.prepare === undefined) {
    const method = methodFromFlags(flags, model);
    return plain(model, adapt(model, head === undefined ? method : beside(method, head), seed));
  }
  const { adapter, base, finish, dispose: free } = await definition.prepare({
    model,
    options: completedOptions(flags, model.spec),
    seed,
    batches: (most, size) => batchesOf(data, most, size),
    ...data.objective && { gradients: gradientsOf(data.objective, seed) },
    load: (folder) => loadAdapter(folder, model, { methods: own }),
    train: (adapter, { steps = data.stages.steps, clipGroup }) =>
      trainStage(model, adapter, data.rows, {
        ...clipGroup && { clipGroup },
        ...data.stages.options(steps),
      }),
    get steps() {
      return data.stages.steps;
    },
    method: known.get,
  });
  const started = plain(base as M | undefined ?? model, withHead(adapter, head, model, seed));
  return {
    ...started,
    ...finish && { finish: (trained) => replaced(trained, head, finish) },
    ...free && { release: () => {}, dispose: free },
  };
}

/** A run of a ready adapter. */
export function plain<M extends Model>(model: M, adapter: Adapter): Started<M> {
  return {
    model,
    adapter,
    finish: (trained) => Promise.resolve(finalized(trained, model)),
    release: () => dispose(adapter.params),
    dispose: () => {},
  };
}

function finalized(trained: Adapter, { spec }: Model): Adapter {
  const { method, params, name = "default" } = trained;
  if (method.finalize === undefined) return trained;
  let left: Method | undefined;
  const kept = scope((): Synchronous<Tree> => {
    const adapter = method.finalize!(params, spec);
    left = adapter.method;
    return adapter.params as Synchronous<Tree>;
  });
  return { name, method: left!, params: kept };
}

/** Loss and gradients of batches by an objective, the metrics left out. */
function gradientsOf(objective: Objective, seed: number): BatchGradients {
  const of = objectiveGradients(objective);
  return (model, adapter, batch) => {
    const { value, gradients, metrics } = of(model, adapter, batch, { key: key(seed), train: false });
    if (metrics) dispose(metrics);
    return { value, gradients };
  };
}

/** The first rows in batches. */
function batchesOf(
  { rows, batchSize, pad }: StartData,
  most: number,
  size: number = batchSize,
): readonly Batch[] {
  const count = Math.min(rows.count, most);
  const each = rows.together ? batchSize : size;
  return Array.from({ length: Math.ceil(count / each) }, (_, i) => {
    const numbers = Array.from({ length: Math.min(each, count - i * each) }, (_, j) => [i * each + j]);
    return batchOf(rows, { rows: numbers, targets: 0 }, {
      batching: { kind: "buckets", batchSize: each },
      pad,
    });
  });
}

/** Frees the tensors of a finished adapter that do not belong to the trained one. */
export function disposeNew(finished: Adapter, trained: Adapter): void {
  const old = new Set(tensorsOf(trained.params));
  dispose(tensorsOf(finished.params).filter((t) => !old.has(t)));
}

function tensorsOf(tree: Tree): readonly Tensor[] {
  return Object.values(tree).flatMap((node) => node instanceof Tensor ? [node] : tensorsOf(node));
}
