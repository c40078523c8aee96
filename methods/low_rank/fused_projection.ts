/**
 * LoRA and (IA)³ on some of the query, key and value of a fused projection: GPT-2's one matrix [3d, in] for all three.
 *
 *   y[part] += s · B A drop(x)       A [r, in]   B [d, r]   for each part separately      (Hu et al., arXiv 2106.09685)
 *   y[part] ← l ⊙ y[part]            l [d]                                           (Liu et al., arXiv 2205.05638)
 *
 * as in the authors' MergedLinear (microsoft/LoRA, loralib/layers.py) and in AdapterHub; `lora` and `ia3`
 * treat the whole matrix as one layer, as PEFT does.
 */
import {
  type DefinedMethod,
  defineMethod,
  fold,
  key as keyOf,
  type LinearEdit,
  type LinearPlace,
  lowRank,
  paramsAt,
  type Spec,
  type Tensor,
} from "../../core/mod.ts";
import { list, number, oneOf, option, probability } from "../../core/options/mod.ts";
import { ones, zeros } from "../../ops/mod.ts";
import type { LoraFactors } from "./lora.ts";
import { freshParams, kaiming } from "../shared/initial_factors.ts";
import { rankSchema } from "../shared/target_options.ts";
import { rangeError } from "../../errors/error.ts";

/** A third of a fused projection. */
export type ProjectionPart = "query" | "key" | "value";

/** Options of LoRA on parts of a fused projection. */
export interface FusedLoraOptions {
  /** Which parts, default query and value. */
  readonly parts?: readonly ProjectionPart[];
  /** r, default 8. */
  readonly rank?: number;
  /** α, default the rank; s = α/r. */
  readonly alpha?: number | undefined;
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
}

/** Options of (IA)³ on parts of a fused projection. */
export interface FusedIa3Options {
  /** Which parts, default key and value. */
  readonly parts?: readonly ProjectionPart[];
}

/**
 * LoRA on parts of fused projections. Parameters: `….c_attn.query.a` [r, in], `….c_attn.query.b` [d, r], and
 * likewise for each part.
 *
 * @throws {RangeError} when a number or a part is out of range, or the model has no fused projection.
 * @example
 * ```ts
 * import { fusedLora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual(fusedLora({ rank: 4 }).config, { rank: 4 });
 * ```
 */
export const fusedLora: DefinedMethod<FusedLoraOptions> = defineMethod<FusedLoraOptions>({
  name: "fused-lora",
  summary: "LoRA on parts of a projection that holds queries, keys and values in one matrix.",
  title: "LoRA on parts of a fused projection",
  options: {
    parts: option(list(oneOf("query", "key", "value")), "which parts", ["query", "value"]),
    rank: option(rankSchema, "r, the rank of an update", 8),
    alpha: option(number, "α of the scale α/r; by default r"),
    dropout: option(probability, "dropout of the branch's input in training", 0),
  },
  create: ({ parts, rank, alpha = rank, dropout }) => {
    checkParts(parts);
    const name = "fused-lora";
    return {
      init: ({ model: { spec, backend }, key }) =>
        freshParams(() =>
          fused(spec, name).flatMap(({ path, inFeatures, outFeatures }) =>
            parts.flatMap((part) => [
              [
                `${path}.${part}.a`,
                kaiming(fold(keyOf(key), path), part, [rank, inFeatures], backend),
              ] as const,
              [`${path}.${part}.b`, zeros([outFeatures / 3, rank], backend)] as const,
            ])
          )
        ),
      edits: (params, spec) =>
        fused(spec, name).flatMap((place) =>
          parts.map((part): LinearEdit => {
            const { a, b } = paramsAt(params, `${place.path}.${part}`) as LoraFactors;
            return {
              kind: "linear",
              path: place.path,
              out: rangeOf(part, place),
              change: { form: "add", map: lowRank(a, b, alpha / rank), ...dropout > 0 && { dropout } },
            };
          })
        ),
    };
  },
});

/**
 * (IA)³ on parts of fused projections. Parameters: `….c_attn.key.l` [d], and likewise for each part.
 *
 * @throws {RangeError} when a part is unknown, or the model has no fused projection.
 * @example
 * ```ts
 * import { fusedIa3 } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(fusedIa3().name, "fused-ia3");
 * ```
 */
export const fusedIa3: DefinedMethod<FusedIa3Options> = defineMethod<FusedIa3Options>({
  name: "fused-ia3",
  summary: "(IA)³ on parts of a projection that holds queries, keys and values in one matrix.",
  title: "(IA)³ on parts of a fused projection",
  options: {
    parts: option(list(oneOf("query", "key", "value")), "which parts", ["key", "value"]),
  },
  create: ({ parts }) => {
    checkParts(parts);
    const name = "fused-ia3";
    return {
      init: ({ model: { spec, backend } }) =>
        freshParams(() =>
          fused(spec, name).flatMap(({ path, outFeatures }) =>
            parts.map((part) => [`${path}.${part}.l`, ones([outFeatures / 3], backend)] as const)
          )
        ),
      edits: (params, spec) =>
        fused(spec, name).flatMap((place) =>
          parts.map((part): LinearEdit => ({
            kind: "linear",
            path: place.path,
            out: rangeOf(part, place),
            change: {
              form: "scale",
              out: (paramsAt(params, `${place.path}.${part}`) as { readonly l: Tensor }).l,
            },
          }))
        ),
    };
  },
});

const ORDER: readonly ProjectionPart[] = ["query", "key", "value"];

const rangeOf = (part: ProjectionPart, { outFeatures }: LinearPlace): readonly [number, number] => {
  const i = ORDER.indexOf(part);
  return [i * outFeatures / 3, (i + 1) * outFeatures / 3];
};

function checkParts(parts: readonly ProjectionPart[]): void {
  const odd = parts.find((part, i) => !ORDER.includes(part) || parts.indexOf(part) !== i);
  if (parts.length === 0 || odd !== undefined) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected some of ${ORDER.join(", ")}, each once, but found ${parts.join(", ") || "none"}`,
    );
  }
}

function fused(spec: Spec, method: string): readonly LinearPlace[] {
  const found = spec.linears.filter(({ role }) => role === "qkv");
  if (found.length === 0) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot place ${method}: the model has no fused projection of query, key and value`,
    );
  }
  return found;
}
