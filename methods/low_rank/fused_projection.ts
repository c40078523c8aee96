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
  fold,
  key as keyOf,
  type LinearEdit,
  type LinearPlace,
  lowRank,
  type Method,
  paramsAt,
  type Spec,
  type Tensor,
} from "../../core/mod.ts";
import { ones, zeros } from "../../ops/mod.ts";
import type { LoraFactors } from "./lora.ts";
import { freshParams, kaiming } from "../shared/initial_factors.ts";
import { checkPositive, checkProbability } from "../shared/option_checks.ts";

/** A third of a fused projection. */
export type ProjectionPart = "query" | "key" | "value";

/** Options of LoRA on parts of a fused projection. */
export interface FusedLoraOptions {
  /** Which parts, default query and value. */
  readonly parts?: readonly ProjectionPart[];
  /** r, default 8. */
  readonly rank?: number;
  /** α, default the rank; s = α/r. */
  readonly alpha?: number;
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
export function fusedLora(options: FusedLoraOptions = {}): Method {
  const { parts = ["query", "value"], rank = 8, alpha = rank, dropout = 0 } = options;
  checkPositive("rank", rank);
  checkProbability("dropout", dropout);
  checkParts(parts);
  const name = "fusedLora";
  return {
    name,
    config: { ...options },
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
}

/**
 * (IA)³ on parts of fused projections. Parameters: `….c_attn.key.l` [d], and likewise for each part.
 *
 * @throws {RangeError} when a part is unknown, or the model has no fused projection.
 * @example
 * ```ts
 * import { fusedIa3 } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(fusedIa3().name, "fusedIa3");
 * ```
 */
export function fusedIa3(options: FusedIa3Options = {}): Method {
  const { parts = ["key", "value"] } = options;
  checkParts(parts);
  const name = "fusedIa3";
  return {
    name,
    config: { ...options },
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
}

const ORDER: readonly ProjectionPart[] = ["query", "key", "value"];

const rangeOf = (part: ProjectionPart, { outFeatures }: LinearPlace): readonly [number, number] => {
  const i = ORDER.indexOf(part);
  return [i * outFeatures / 3, (i + 1) * outFeatures / 3];
};

function checkParts(parts: readonly ProjectionPart[]): void {
  const odd = parts.find((part, i) => !ORDER.includes(part) || parts.indexOf(part) !== i);
  if (parts.length === 0 || odd !== undefined) {
    throw new RangeError(
      `Expected some of ${ORDER.join(", ")}, each once, but found ${parts.join(", ") || "none"}`,
    );
  }
}

function fused(spec: Spec, method: string): readonly LinearPlace[] {
  const found = spec.linears.filter(({ role }) => role === "qkv");
  if (found.length === 0) {
    throw new RangeError(`Cannot place ${method}: the model has no fused projection of query, key and value`);
  }
  return found;
}
