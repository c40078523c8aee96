/**
 * Preparation of a method before the first step, and completion after the last one: masks and directions from
 * data, changed bases, a head trained along with the method, networks that are dropped after training.
 */
import {
  adapt,
  type Adapter,
  type Batch,
  dispose,
  type Method,
  type Model,
  scope,
  type Synchronous,
  Tensor,
  type Tree,
} from "../core/mod.ts";
import { namedMethod } from "../io/records/named_method.ts";
import {
  type DirectionOptions,
  eva,
  type EvaOptions,
  fishMask,
  leadingDirections,
  loftq,
  type LoftqOptions,
  olora,
  onOriginal,
  osf,
  pissa,
  type PissaOptions,
  type Prepared,
  type PreparedOptions,
  psoft,
  singularSplit,
  type SingularSplitOptions,
  tinyLora,
  type TinyLoraOptions,
} from "../methods/mod.ts";
import { fisherMask, type FisherMaskOptions } from "../methods/selective/fisher_mask.ts";
import { batchOf, type Rows } from "../train/mod.ts";
import { beside, headOf, replaced, withHead } from "./task_heads.ts";
import { chosen, PREPARED } from "./prepared_options.ts";
import { sourced } from "./sources.ts";
import { earlyStages, STAGE_OPTIONS, type StageRun } from "./stages.ts";
import { FISHER_EXAMPLES, ladderAdapter, type LadderStart } from "./ladder_start.ts";
import { psoftOptions, type PsoftStart } from "./psoft_start.ts";
import { checkFlags, lowRankOptions, type MethodFlags, methodOf } from "./method_from_flags.ts";

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
}

/** Prepares a run. `fresh` are modules of the head that the checkpoint lacks. */
export async function start<M extends Model>(
  model: M,
  flags: MethodFlags & { readonly seed: number },
  data: StartData,
  fresh: readonly string[] = [],
): Promise<Started<M>> {
  checkFlags(flags);
  const { method, seed } = flags;
  const head = headOf(flags, model, fresh);
  switch (method) {
    case "pissa":
    case "olora":
    case "loftq": {
      const prepared = await preparedBase(model, flags, method);
      return {
        model: prepared.model,
        adapter: withHead(prepared.adapter, head, model, seed),
        finish: (trained) => replaced(trained, head, (own) => onOriginalBase(model, flags, prepared, own)),
        release: () => {},
        dispose: () => prepared.dispose(),
      };
    }
    case "eva": {
      const options = chosen(model, flags, PREPARED[method]);
      const batches = batchesOf(data, 512);
      const { adapter } = await eva(
        model,
        batches,
        { ...evaTokens(batches), ...options, key: seed } as EvaOptions,
      );
      return plain(model, withHead(adapter, head, model, seed));
    }
    case "osf": {
      const { config } = methodOf({ ...flags, method }, model.spec);
      const split = await singularSplit(model, config as SingularSplitOptions); // for a GPU, decomposed on the host
      const own = osf({ ...config as SingularSplitOptions, split });
      return plain(model, adapt(model, head === undefined ? own : beside(own, head), seed));
    }
    case "tiny-lora": {
      const { config } = methodOf({ ...flags, method }, model.spec);
      const directions = await leadingDirections(model, config as DirectionOptions); // for a GPU, decomposed on the host
      const own = tinyLora({ ...config as TinyLoraOptions, directions });
      const adapter = adapt(model, head === undefined ? own : beside(own, head), seed);
      dispose(directions);
      return plain(model, adapter);
    }
    case "fish-mask": {
      const { ratio = 0.005, ...rest } = chosen(model, flags, PREPARED[method]) as Partial<FisherMaskOptions>;
      const mask = await fisherMask(model, batchesOf(data, 1024), { ratio, ...rest });
      return plain(model, adapt(model, fishMask({ mask }), seed));
    }
    case "psoft": {
      const options = await psoftOptions(model, chosen(model, flags, PREPARED[method]) as PsoftStart);
      return plain(model, withHead(adapt(model, psoft(options), seed), head, model, seed));
    }
    case "ladder-side": {
      const options = chosen(model, flags, PREPARED[method]) as LadderStart;
      const batches = batchesOf(data, options.examples ?? FISHER_EXAMPLES);
      return plain(model, withHead(await ladderAdapter(model, options, batches, seed), head, model, seed));
    }
    case "diff-pruning":
    case "lt-sft":
    case "far": {
      const options = chosen(model, flags, STAGE_OPTIONS[method]);
      const adapter = await earlyStages(method, model, data.rows, options, data.stages, seed);
      return plain(model, withHead(adapter, head, model, seed));
    }
    case "adapter-fusion":
    case "sparse-adapter":
    case "spot":
    case "ipt":
    case "xlora": {
      const adapter = await sourced(model, { ...flags, method }, () => batchesOf(data, 64));
      return plain(model, withHead(adapter, head, model, seed));
    }
    default: {
      const own = methodOf({ ...flags, method }, model.spec);
      return plain(model, adapt(model, head === undefined ? own : beside(own, head), seed));
    }
  }
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

async function preparedBase<M extends Model>(
  model: M,
  flags: MethodFlags & { readonly seed: number },
  method: "pissa" | "olora" | "loftq",
): Promise<Prepared<M>> {
  const key = flags.seed;
  switch (method) {
    case "pissa":
      return await pissa(model, { ...chosen(model, flags, PREPARED[method]), key } as PissaOptions);
    case "olora":
      return await olora(model, { ...chosen(model, flags, PREPARED[method]), key } as PreparedOptions);
    case "loftq":
      return await loftq(model, { ...chosen(model, flags, PREPARED[method]), key } as LoftqOptions);
    default:
      return method satisfies never;
  }
}

/**
 * PiSSA and OLoRA become LoRA on the original base, exactly and with twice the rank. LoftQ's base, which
 * differs in every weight, is recomputed whenever the adapter is loaded.
 */
async function onOriginalBase<M extends Model>(
  model: M,
  flags: MethodFlags,
  prepared: Prepared<M>,
  trained: Adapter,
): Promise<Adapter> {
  const own = { ...trained, method: prepared.adapter.method };
  if (flags.method === "loftq") {
    const options = { ...lowRankOptions(flags, model.spec), ...flags.options };
    return { ...own, method: { ...own.method, ...namedMethod("loftq", options) } };
  }
  return (await onOriginal(model, prepared, own)).adapter;
}

/** The first rows in batches. */
function batchesOf({ rows, batchSize, pad }: StartData, most: number): readonly Batch[] {
  const count = Math.min(rows.count, most);
  return Array.from({ length: Math.ceil(count / batchSize) }, (_, i) => {
    const numbers = Array.from(
      { length: Math.min(batchSize, count - i * batchSize) },
      (_, j) => [i * batchSize + j],
    );
    return batchOf(rows, { rows: numbers, targets: 0 }, { batching: { kind: "buckets", batchSize }, pad });
  });
}

/** Where a text has one label, all its tokens count. */
function evaTokens(batches: readonly Batch[]): Pick<EvaOptions, "tokens"> {
  return typeof batches[0]?.labels?.[0] === "number" ? { tokens: "all" } : {};
}

/** Frees the tensors of a finished adapter that do not belong to the trained one. */
export function disposeNew(finished: Adapter, trained: Adapter): void {
  const old = new Set(tensorsOf(trained.params));
  dispose(tensorsOf(finished.params).filter((t) => !old.has(t)));
}

function tensorsOf(tree: Tree): readonly Tensor[] {
  return Object.values(tree).flatMap((node) => node instanceof Tensor ? [node] : tensorsOf(node));
}
