/** The stages before the run itself, for methods with several stages: the run starts from their result. */
import { type Adapter, lookup, type Method, type Model, Tensor } from "../core/mod.ts";
import {
  diffPruning,
  type DiffPruningOptions,
  feedForwardLayers,
  type LtSftLeaves,
  only,
} from "../methods/mod.ts";
import { ltSftDense, ltSftLeaves } from "../methods/selective/lt_sft.ts";
import {
  any,
  list,
  number,
  oneOf,
  type OptionSchemas,
  places,
  text,
} from "../core/options/option_schemas.ts";
import { trainDiffPruning } from "../recipes/diff_pruning.ts";
import { type FarRecipe, trainFar } from "../recipes/far.ts";
import { trainLtSft } from "../recipes/lt_sft.ts";
import type { StageOptions } from "../recipes/stage.ts";
import type { Rows } from "../train/mod.ts";
import type { StagedName } from "./method_catalog.ts";

/** Whether a method has such stages. */
export function isStaged(method: string): method is StagedName {
  return method in STAGE_OPTIONS;
}

/** The training options of each stage: those of a whole run. */
export interface StageRun {
  /** Steps of a run. */
  readonly steps: number;
  /** Options of a stage with a number of steps. */
  options(steps: number): StageOptions;
}

/** The options allowed in `--options`. */
export const STAGE_OPTIONS: Readonly<Record<StagedName, OptionSchemas>> = {
  "diff-pruning": {
    ...{ ratio: number, sparsity: number, gateRate: number, initialAlpha: number, frozen: list(text) },
    gates: any(oneOf("mean"), number),
    structure: oneOf("tensor", "none"),
    penalty: oneOf("sum", "product"),
  },
  "lt-sft": {
    ...{ ratio: number, pull: number },
    norms: oneOf("frozen", "maskable"),
    frozen: places,
    tiedHead: oneOf("follows", "stays"),
  },
  "far": { retention: number, priming: number, primed: oneOf("kept", "reset") },
};

type Options = Readonly<Record<string, unknown>>;

/** Trains the early stages. The caller owns the result, from which the run starts. */
export async function earlyStages(
  method: StagedName,
  model: Model,
  rows: Rows,
  options: Options,
  { steps, options: stage }: StageRun,
  seed: number,
): Promise<Adapter> {
  // The recipes' last stage is the run itself, so it takes no steps there.
  const last: StageOptions = { ...stage(steps), maxSteps: 0 };
  switch (method) {
    case "diff-pruning": {
      const { ratio = 0.005, gates, ...own } = options as DiffPruningOptions & {
        readonly ratio?: number;
        readonly gates?: "mean";
      };
      return await trainDiffPruning(model, rows, {
        ratio,
        ...gates !== undefined && { gates },
        method: own,
        gated: stage(steps),
        fixed: last,
        seed,
      });
    }
    case "lt-sft": {
      const { pull = 0, ratio = 0.05, ...which } = options as LtSftFlags;
      const elements = Math.floor(ratio * maskable(model, which));
      return await trainLtSft(model, rows, { ...which, elements, pull, full: stage(steps), sparse: last });
    }
    case "far": {
      const { retention = 0.2, priming = 0.05, primed } = options as FarFlags;
      const first = stage(Math.max(1, Math.round(priming * steps)));
      return await trainFar(model, rows, {
        retention,
        ...primed !== undefined && { primed },
        priming: first,
        learning: last,
      });
    }
    default:
      return method satisfies never;
  }
}

type LtSftFlags = LtSftLeaves & { readonly ratio?: number; readonly pull?: number };
type FarFlags = Partial<Pick<FarRecipe, "retention" | "primed">> & { readonly priming?: number };

/** The method of the stage that needs most memory. */
export function largestStage(method: StagedName, model: Model, options: Options): Method {
  switch (method) {
    case "diff-pruning": {
      const { ratio: _, gates: __, ...own } = options;
      return diffPruning(own);
    }
    case "lt-sft": {
      const { pull = 0, ratio: _, ...which } = options as LtSftFlags;
      return ltSftDense(ltSftLeaves(model, which), maskable(model, which), pull);
    }
    case "far":
      return only({ parameters: feedForwardLayers(model.spec).map(({ path }) => `${path}.weight`) });
    default:
      return method satisfies never;
  }
}

function maskable(model: Model, which: LtSftLeaves): number {
  return ltSftLeaves(model, which).paths
    .map((path) => lookup(model.weights, path)).reduce(
      (n, leaf) => n + (leaf instanceof Tensor ? leaf.size : 0),
      0,
    );
}
