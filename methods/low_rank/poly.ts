/**
 * Poly (Polytropon) and its multi-head routing. Ponti, Sordoni, Bengio and Reddy 2022, "Combining Modular Skills in Multitask
 * Learning", arXiv 2202.13914; Caccia et al. 2022, "Multi-Head Adapter Routing for Cross-Task Generalization", arXiv 2211.03831.
 *
 *   y = W x + b + 1/r · B_t A_t x        A_t = [Σ_s w_1s A_1s; …]   B_t = [Σ_s w_1s B_1s; …]   over Q pieces of in and out
 *   w_qs = z_qs / Σ_s z_qs               z = σ(Z_t) of task t; in training σ(Z_t + log u − log(1 − u)), u uniform in (0, 1)
 *
 * S skills, LoRA factors each, are shared by all tasks; a task has Q S logits in each layer. One piece (Q =
 * 1) is Poly, more are multi-head routing. A batch gives each row's task in `rows`.
 */
import {
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  fn,
  fold,
  freshTargets,
  key as keyOf,
  type LinearChange,
  type LinearMap,
  lowRank,
  type MatrixPlace,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { bounded, count, list, oneOf, option, text } from "../../core/options/mod.ts";
import {
  add,
  divide,
  log,
  multiply,
  permute,
  reshape,
  sigmoid,
  slice,
  subtract,
  sum,
  uniform,
  zeros,
} from "../../ops/mod.ts";
import { rankSchema, TARGETS } from "../shared/target_options.ts";
import { checkNotEmbedding } from "../shared/not_embedding.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkTasks, type TaskOptions, tasksOf } from "../shared/tasks.ts";
import { rangeError } from "../../errors/error.ts";
import { withDefaults } from "../peft/layers.ts";

/** Options of Poly. */
export interface PolyOptions extends TargetOptions, TaskOptions {
  /** r of a skill, default 8. */
  readonly rank?: number;
  /** S, default 4. */
  readonly skills?: number;
  /** Q, pieces of a layer's input and output that are routed separately. Default 1. */
  readonly pieces?: number;
  /** Whether training draws the shares at random ("sampled", default) or never ("mean"). */
  readonly routing?: "sampled" | "mean";
  /** B zero ("default"), or random ("none", for tests). */
  readonly initialization?: "default" | "none";
}

/** One layer's parameters: a [Q, S, in/Q, r], b [Q, S, r, out/Q], logits [T, Q S]. */
export type PolyParams = { readonly a: Tensor; readonly b: Tensor; readonly logits: Tensor };

/**
 * Poly as a method. Parameters: `a`, `b` and `logits` under each layer's path. With one task, or with `task`
 * set, it can be merged.
 *
 * @throws {RangeError} when a number is not a positive integer, there are no tasks or two have the same name,
 * or targets match nothing; at init, when a layer's sizes do not divide into the pieces, or a target is an
 * embedding.
 * @example
 * ```ts
 * import { adapt, forward, freshModel, graft, poly, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const tuned = graft(model, adapt(model, poly({ rank: 2, tasks: ["qa", "nli"], pieces: 4 })));
 * const { logits } = forward(tuned, { inputIds: [[1, 2], [3, 4]], rows: ["nli", "qa"] });
 * assert.deepEqual(logits.shape, [2, 2, 32]);
 * ```
 */
export const poly: DefinedMethod<PolyOptions> = defineMethod<PolyOptions>({
  name: "poly",
  summary: "LoRA modules mixed by weights of their own for each task.",
  facts: { parameters: "S r (in + out) + Q S a task", merges: "a chosen task" },
  title: "Poly",
  options: {
    ...TARGETS,
    rank: option(rankSchema, "r, the rank of a skill", 8),
    skills: option(bounded(count, "parts"), "S, how many skills the tasks share", 4),
    pieces: option(bounded(count, "width"), "Q, pieces of inputs and outputs that are routed apart", 1),
    routing: option(
      oneOf("sampled", "mean"),
      "whether training draws the shares at random, or never",
      "sampled",
    ),
    tasks: option(list(text), "names of the tasks", ["0"]),
    task: option(text, "the task of every row; by default a batch names them"),
    initialization: option(
      oneOf("default", "none"),
      "whether B starts at zero, or random, for tests",
      "default",
    ),
  },
  create: (options) => {
    const { rank, tasks, initialization } = options;
    checkTasks(options);
    return {
      init: ({ model, key }) =>
        freshParams(() =>
          freshTargets(model.spec, options).flatMap((place) => {
            const { path } = place;
            const { a, b, logits } = polyShapes(place, options);
            const seed = fold(keyOf(key), path);
            const within = (name: string, shape: readonly number[], bound: number): Tensor =>
              uniform(fold(seed, name), shape, model.backend, -bound, bound);
            return [
              [`${path}.a`, within("a", a, 1 / Math.sqrt(a[2]!))] as const,
              [
                `${path}.b`,
                initialization === "none" ? within("b", b, 1 / Math.sqrt(rank)) : zeros(b, model.backend),
              ] as const,
              [`${path}.logits`, within("logits", logits, 1e-3)] as const,
            ];
          })
        ),
      edits: (params, spec) =>
        chooseTargets(spec, options).flatMap((place) =>
          tasksOf({ ...options, tasks }).map(({ number, rows }) => ({
            kind: "linear",
            path: place.path,
            change: mixed(place, paramsAt(params, place.path) as PolyParams, number, options),
            ...rows,
          }))
        ),
    };
  },
  cli: { rate: 1e-3, flags: ["rank", "targets"] },
  published: { setting: "4 skills of r 8 on q and v" },
});

/**
 * Shapes of a layer's parameters.
 *
 * @throws {RangeError} when its sizes do not divide into the pieces, or it is an embedding.
 * @example
 * ```ts
 * import { freshModel, polyShapes, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { a, logits } = polyShapes(spec.linears[0]!, { rank: 2, pieces: 4, tasks: ["qa", "nli"] });
 * assert.deepEqual([a, logits], [[4, 4, 4, 2], [2, 16]]); // 16 inputs
 * ```
 */
export function polyShapes(
  place: MatrixPlace,
  options: PolyOptions,
): { readonly a: readonly number[]; readonly b: readonly number[]; readonly logits: readonly number[] } {
  const { rank, skills, pieces, tasks } = withDefaults(poly, options);
  const { inFeatures, outFeatures } = sizesOf(place);
  checkNotEmbedding("poly", place);
  if (inFeatures % pieces !== 0 || outFeatures % pieces !== 0) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot cut "${place.path}" [${outFeatures}, ${inFeatures}] in ${pieces} pieces for poly: its sizes are no multiples of it`,
    );
  }
  return {
    a: [pieces, skills, inFeatures / pieces, rank],
    b: [pieces, skills, rank, outFeatures / pieces],
    logits: [tasks.length, pieces * skills],
  };
}

function mixed(place: MatrixPlace, params: PolyParams, task: number, { routing }: PolyOptions): LinearChange {
  const { inFeatures, outFeatures } = sizesOf(place);
  const [q, s, , r] = params.a.shape as [number, number, number, number];
  /** 1/r B_t A_t for logits [Q, S, 1, 1] of the task. */
  const update = ({ a, b }: PolyParams, logits: Tensor): LinearMap => {
    const z = sigmoid(logits);
    const shares = divide(z, add(sum(z, { axis: 1, keepAxes: true }), 1e-12));
    const of = (skills: Tensor): Tensor => sum(multiply(skills, shares), { axis: 1 }); // [Q, in/Q, r], [Q, r, out/Q]
    const down = permute(reshape(of(a), [inFeatures, r]), [1, 0]);
    const up = reshape(permute(of(b), [0, 2, 1]), [outFeatures, r]);
    return lowRank(down, up, 1 / r);
  };
  const own = ({ logits }: PolyParams): Tensor => reshape(slice(logits, 0, task, task + 1), [q, s, 1, 1]);
  const mean = (): LinearMap => update(params, own(params));
  const map: LinearMap = {
    inFeatures,
    outFeatures,
    tensors: [params.a, params.b, params.logits],
    cost: r * (inFeatures + outFeatures),
    apply: (x) => mean().apply(x),
    weight: () => mean().weight(),
    columns: (ids) => mean().columns(ids),
    factors: () => mean().factors!(),
  };
  if (routing === "mean") return { form: "add", map };
  return {
    form: "delta",
    reads: "input",
    delta: fn(params, (params, { x, train, key }) => {
      if (!train || key === undefined) return map.apply(x);
      const u = uniform(key, [q, s, 1, 1], x.backend, 1e-7, 1 - 1e-7);
      return update(params, add(own(params), subtract(log(u), log(subtract(1, u))))).apply(x);
    }),
    weight: fn(params, (_, { weight }) => add(weight, map.weight())),
  };
}
