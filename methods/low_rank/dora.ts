/**
 * DoRA. Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation", arXiv 2402.09353, equations 5 and 11.
 *
 *   y = W x + b + (g − 1) ⊙ W drop(x) + g ⊙ s B A drop(x)        V = W + s B A   g = m / ‖V‖   ‖·‖ over each row of [out, in]
 *
 * The paper writes [in, out], so its columns are these rows. The norm is a constant in the derivative
 * (section 4.3). The bias is not scaled. Initially m = ‖V‖, so g = 1 and the model is unchanged. On a
 * quantized base W is the dequantized matrix.
 */
import {
  type DefinedMethod,
  defineMethod,
  detach,
  type Edit,
  fn,
  freshTargets,
  leaves,
  type LinearEdit,
  type LinearMap,
  matrixAt,
  nest,
  paramsAt,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { oneOf, option } from "../../core/options/mod.ts";
import { add, divide, dropout, multiply, reshape, sqrt, subtract, sumOfSquares } from "../../ops/mod.ts";
import { LORA, lora, type LoraOptions, loraScale, LOW_RANK } from "./lora.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of DoRA: those of LoRA, and a choice where implementations differ. */
export interface DoraOptions extends LoraOptions {
  /**
   * "paper" (default) as above. "adapterHub" as in that library: y = g ⊙ (W x + b + s B A x) with g = m / ‖W
   * + B A‖, so the bias is scaled too, s does not enter the norm, and the norm has a derivative.
   */
  readonly decomposition?: "paper" | "adapterHub";
}

/**
 * DoRA as a method. Options as for LoRA. Parameters under the layer's path: `a`, `b` and the row norms
 * `magnitude` [out].
 *
 * @throws {RangeError} as `lora`, and for `branchBias`, which the decomposition does not define.
 * @example
 * ```ts
 * import { dora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(dora({ rank: 16, alpha: 32 }).name, "dora");
 * ```
 */
export const dora: DefinedMethod<DoraOptions> = defineMethod<DoraOptions>({
  name: "dora",
  summary: "LoRA on the direction of each weight row, with the rows' lengths trained apart.",
  facts: { parameters: "r (in + out) + out", merges: "yes" },
  title: "DoRA",
  options: {
    ...LORA,
    decomposition: option(
      oneOf("paper", "adapterHub"),
      "whose formula, where implementations differ",
      "paper",
    ),
  },
  create: ({ decomposition, ...options }) => {
    if (options.branchBias) {
      throw rangeError("METHOD_DOES_NOT_FIT", "Cannot give DoRA a branchBias: set it to false");
    }
    const inner = lora(options);
    return {
      init: ({ model, key }) =>
        scope((): Synchronous<Tree> => {
          const factors = inner.init({ model, key });
          const places = new Map(freshTargets(model.spec, options).map((place) => [place.path, place]));
          const magnitudes = inner.edits(factors, model.spec).flatMap((edit) => {
            const map = updateOf(edit);
            if (map === undefined) return [];
            const w = matrixAt(model, places.get(edit.path)!); // [out, in]
            const v = add(w, decomposition === "paper" ? map.weight() : unscaled(map, edit.path, options));
            return [[`${edit.path}.magnitude`, rowNorms(v)] as const];
          });
          return nest([...leaves(factors), ...magnitudes]) as Tree;
        }),
      edits: (params, spec) =>
        inner.edits(params, spec).map((edit) => {
          const map = updateOf(edit);
          if (map === undefined) return edit;
          const { magnitude } = paramsAt(params, edit.path) as { readonly magnitude: Tensor };
          return decomposition === "paper"
            ? decomposed(edit as LinearEdit, map, magnitude, options.dropout)
            : wholeScaled(edit as LinearEdit, map, magnitude, options);
        }),
    };
  },
  cli: { ...LOW_RANK },
  published: { setting: "r 8 on q and v" },
});

/** ΔW of a low-rank edit; undefined for the edits of biases. */
function updateOf(edit: Edit): LinearMap | undefined {
  return edit.kind === "linear" && edit.change.form === "add" ? edit.change.map : undefined;
}

function decomposed(edit: LinearEdit, map: LinearMap, magnitude: Tensor, p: number): LinearEdit {
  const params = { map, magnitude };
  return {
    ...edit,
    change: {
      form: "delta",
      reads: "input",
      delta: fn(params, ({ map, magnitude }, call) => {
        const g = divide(magnitude, detach(rowNorms(add(call.weight(), map.weight())))); // [out]
        const drops = call.train && call.key !== undefined && p > 0;
        const x = drops ? dropout(call.x, p, call.key!) : call.x;
        const y = drops ? call.apply(x) : call.y;
        const wx = call.bias === undefined ? y : subtract(y, call.bias);
        return add(multiply(wx, subtract(g, 1)), multiply(map.apply(x), g));
      }),
      weight: fn(params, ({ map, magnitude }, call) => {
        const v = add(call.weight, map.weight());
        return multiply(v, reshape(divide(magnitude, detach(rowNorms(v))), [-1, 1]));
      }),
    },
  };
}

/** B A of a map s B A. */
function unscaled(map: LinearMap, path: string, options: LoraOptions): Tensor {
  const s = loraScale(path, options);
  return s === 1 ? map.weight() : multiply(map.weight(), 1 / s);
}

/** AdapterHub's form: the layer's whole output is scaled, its bias included. */
function wholeScaled(edit: LinearEdit, map: LinearMap, magnitude: Tensor, options: LoraOptions): LinearEdit {
  const p = options.dropout ?? 0;
  const params = { map, magnitude };
  /** g of the matrix so far, [out]. */
  const scales = ({ map, magnitude }: typeof params, weight: Tensor): Tensor =>
    divide(magnitude, rowNorms(add(weight, unscaled(map, edit.path, options))));
  return {
    ...edit,
    change: {
      form: "delta",
      reads: "input",
      delta: fn(params, ({ map, magnitude }, call) => {
        const g = scales({ map, magnitude }, call.weight());
        const x = call.train && call.key !== undefined && p > 0 ? dropout(call.x, p, call.key) : call.x;
        return subtract(multiply(add(call.y, map.apply(x)), g), call.y);
      }),
      weight: fn(
        params,
        (params, { weight }) =>
          multiply(add(weight, params.map.weight()), reshape(scales(params, weight), [-1, 1])),
      ),
      bias: fn(params, (params, { weight, bias }) => multiply(bias!, scales(params, weight))),
    },
  };
}

/** Euclidean norm of each row: [out, in] → [out]. */
function rowNorms(v: Tensor): Tensor {
  return sqrt(sumOfSquares(v, { axis: 1 }));
}
