/** How a method stands in an HF PEFT folder: its config fields and the keys of its tensors. One codec a method. */
import type { Json, MatrixPlace, Method, Shape, Spec } from "../../core/mod.ts";

/** Fields of an `adapter_config.json`. */
export type PeftFields = Readonly<Record<string, Json>>;

/** One tensor of the folder. */
export interface PeftTensor {
  /** Where it stands in the method's params. */
  readonly path: string;
  /** Its key in the file, without the prefix `base_model.model.`. */
  readonly key: string;
  /** Its shape in params. */
  readonly shape: Shape;
  /** It holds whole numbers, i32 in params: those of row i from 0 up to (exclusive) the i-th of these. Default: f32. */
  readonly below?: readonly number[];
  /** Its shape in the file, when that differs: the same numbers in the same order. */
  readonly stored?: Shape;
  /** The file has the matrix's transpose, of the shape `stored`. Only read: adapters are saved as plain LoRA. */
  readonly turned?: true;
  /** Keys of layers that share the tensor, under which PEFT writes it once more. */
  readonly again?: readonly string[];
  /** It is only a part of the file's matrix `stored`: rows (axis 0) or columns (axis 1) from there on. */
  readonly part?: { readonly axis: 0 | 1; readonly from: number };
  /** The file has zeros of this shape there, which no parameter holds. */
  readonly zeros?: true;
}

/** Both directions for one `peft_type`. Which layers are adapted is decided elsewhere, by names of layers. */
export interface PeftCodec<Options> {
  /** `peft_type`. */
  readonly type: string;
  /** Every field that is known, with PEFT's default. */
  readonly fields: PeftFields;
  /** Fields that must stay at their default because we do not have the feature, with what they mean. */
  readonly refused: Readonly<Record<string, string>>;
  /** What the field `bias` says where the adapted layers' biases train beside the method: "vera_only". */
  readonly biases?: string;
  /** The method's options, targets aside. @throws {RangeError} on values that we cannot reproduce. */
  read(fields: PeftFields): Options;
  /** The fields that options set, targets aside. */
  write(options: Options): PeftFields;
  /** The method. */
  method(options: Options): Method;
  /** The tensors for layers. @throws {RangeError} when a layer cannot be adapted so. */
  tensors(places: readonly MatrixPlace[], options: Options, spec: Spec): readonly PeftTensor[];
}

/**
 * A number of the config.
 *
 * @example
 * ```ts
 * import { numberField } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(numberField({ r: 8 }, "r"), 8);
 * assert.throws(
 *   () => numberField({ r: "8" }, "r"),
 *   /"r" of adapter_config.json to be a number but found "8"/,
 * );
 * ```
 */
export function numberField(fields: PeftFields, name: string): number {
  const value = fields[name];
  return typeof value === "number" ? value : wrong(name, "a number", value);
}

/**
 * A truth value of the config.
 *
 * @example
 * ```ts
 * import { flagField } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(flagField({ use_dora: true }, "use_dora"), true);
 * ```
 */
export function flagField(fields: PeftFields, name: string): boolean {
  const value = fields[name];
  return typeof value === "boolean" ? value : wrong(name, "true or false", value);
}

/**
 * Numbers by pattern; undefined when there are none.
 *
 * @example
 * ```ts
 * import { patternField } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.deepEqual(patternField({ rank_pattern: { "q_proj": 4 } }, "rank_pattern"), { q_proj: 4 });
 * assert.equal(patternField({ rank_pattern: {} }, "rank_pattern"), undefined);
 * ```
 */
export function patternField(
  fields: PeftFields,
  name: string,
): Readonly<Record<string, number>> | undefined {
  const value = fields[name] ?? {};
  if (
    typeof value !== "object" || Array.isArray(value) ||
    !Object.values(value).every((n) => typeof n === "number")
  ) {
    return wrong(name, "numbers by pattern", value);
  }
  return Object.keys(value).length === 0 ? undefined : value as Readonly<Record<string, number>>;
}

/**
 * Refuses a value of the wrong kind.
 *
 * @example
 * ```ts
 * import { wrong } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.throws(
 *   () => wrong("bias", '"none"', "all"),
 *   /Expected the field "bias" .* to be "none" but found "all"/,
 * );
 * ```
 */
export function wrong(name: string, expected: string, value: Json | undefined): never {
  throw new TypeError(
    `Expected the field "${name}" of adapter_config.json to be ${expected} but found ${
      JSON.stringify(value)
    }`,
  );
}
