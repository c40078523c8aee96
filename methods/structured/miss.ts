/**
 * MiSS. Kang and Yin 2024, "MiSS: Balancing LoRA Performance and Efficiency with Simple Shard Sharing", arXiv 2409.15371
 * (first published as Bone).
 *
 *   y = W x + b + Dᵀ Σ_j dropout(x)_j        D [r, out]   x_j: the pieces of x of length r (the last may be short)
 *
 * "mini" shares D's columns too: D = [E, E, …] with E [r, m]. "bat" involves W: every block W_ij [r, r] of W
 * becomes W_ij + W_ij B_i + B_i with one B_i [r, r] for each row of blocks. D, E and B start at zero: the
 * model is initially unchanged.
 */
import {
  chooseTargets,
  fn,
  freshTargets,
  type LinearChange,
  type MatrixPlace,
  type Method,
  paramsAt,
  repeatedBlocks,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { add, matmul, permute, reshape, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkPositive, checkProbability } from "../shared/option_checks.ts";

/** Options of every form. */
export interface MissCommon extends TargetOptions {
  /** r: the length of a piece of the input, default 64. */
  readonly rank?: number;
}

/** Options of MiSS, by form. */
export type MissOptions =
  & MissCommon
  & (
    | { readonly form?: "standard"; readonly dropout?: number }
    /** `miniRank` is m, which must divide the outputs. */
    | { readonly form: "mini"; readonly miniRank: number; readonly dropout?: number }
    /** Both sizes must be multiples of r. */
    | { readonly form: "bat" }
  );

/**
 * MiSS as a method. Parameters: `block` under each layer's path, [r, out], [r, m] or [out / r, r, r].
 *
 * @throws {RangeError} when the rank is out of range for a layer, sizes do not divide, or targets match nothing.
 * @example
 * ```ts
 * import { miss } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(miss({ rank: 16, form: "mini", miniRank: 4 }).name, "miss");
 * ```
 */
export function miss(options: MissOptions = {}): Method {
  checkPositive("rank", options.rank ?? 64);
  if (options.form !== "bat") checkProbability("dropout", options.dropout ?? 0);
  if (options.form === "mini") checkPositive("miniRank", options.miniRank);
  else if ("miniRank" in options) {
    throw new RangeError(
      `Cannot use miniRank with form "${options.form ?? "standard"}" of miss: set it to "mini"`,
    );
  }
  return {
    name: "miss",
    config: { ...options },
    init: ({ model }) =>
      freshParams(() =>
        freshTargets(model.spec, options).map((place) =>
          [`${place.path}.block`, zeros(missShape(place, options), model.backend)] as const
        )
      ),
    edits: (params, spec) =>
      chooseTargets(spec, options).map((place) => {
        const { block } = paramsAt(params, place.path) as { readonly block: Tensor };
        return { kind: "linear", path: place.path, change: changeOf(place, block, options) };
      }),
  };
}

/**
 * The shape of a layer's block.
 *
 * @throws {RangeError} when the layer's sizes do not allow it.
 * @example
 * ```ts
 * import { freshModel, missShape, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.deepEqual(missShape(spec.linears[0]!, { rank: 4 }), [4, 16]); // [r, out]
 * ```
 */
export function missShape(place: MatrixPlace, options: MissOptions): readonly number[] {
  const { inFeatures, outFeatures } = sizesOf(place);
  const r = options.rank ?? 64;
  const refuse = (why: string): never => {
    throw new RangeError(
      `Cannot put MiSS of rank ${r} on "${place.path}" [${outFeatures}, ${inFeatures}]: ${why}`,
    );
  };
  if (r > inFeatures) refuse("the rank exceeds the input");
  switch (options.form) {
    case "bat":
      if (inFeatures % r !== 0 || outFeatures % r !== 0) refuse('"bat" needs multiples of the rank');
      return [outFeatures / r, r, r];
    case "mini":
      if (outFeatures % options.miniRank !== 0) {
        refuse(`miniRank ${options.miniRank} does not divide the output`);
      }
      return [r, options.miniRank];
    default:
      return [r, outFeatures];
  }
}

function changeOf(place: MatrixPlace, block: Tensor, options: MissOptions): LinearChange {
  const { inFeatures, outFeatures } = sizesOf(place);
  if (options.form === "bat") {
    return {
      form: "delta",
      reads: "input",
      delta: fn({ block }, ({ block }, call) => {
        return matmul(call.x, blockUpdate(call.weight(), block), { transposeB: true });
      }),
      weight: fn({ block }, ({ block }, { weight }) => add(weight, blockUpdate(weight, block))),
    };
  }
  const copies = options.form === "mini" ? outFeatures / options.miniRank : 1;
  return {
    form: "add",
    map: repeatedBlocks(block, inFeatures, copies),
    ...options.dropout && { dropout: options.dropout },
  };
}

/** W_ij B_i + B_i for all blocks of W [out, in] and B [out / r, r, r]. */
function blockUpdate(w: Tensor, b: Tensor): Tensor {
  const [out, input] = [w.shape[0]!, w.shape[1]!];
  const [rows, r] = [b.shape[0]!, b.shape[1]!];
  const columns = input / r;
  const blocks = reshape(permute(reshape(w, [rows, r, columns, r]), [0, 2, 1, 3]), [rows, columns * r, r]);
  const product = reshape(matmul(blocks, b), [rows, columns, r, r]);
  const update = add(product, reshape(b, [rows, 1, r, r]));
  return reshape(permute(update, [0, 2, 1, 3]), [out, input]);
}
