/**
 * How a method is stored in an HF PEFT folder: its config fields and the keys of its tensors. One codec per
 * method.
 */
import type {
  Adapter,
  Json,
  MatrixPlace,
  Method,
  MethodDefinition,
  Model,
  Shape,
  Spec,
  TargetOptions,
  Tree,
} from "../../core/mod.ts";
import type { PeftConfig } from "../../formats/peft_config.ts";
import type { PeftFields, PeftTensor, ReadPart } from "./main_part.ts";
import { typeError } from "../../errors/error.ts";

export * from "./main_part.ts";

/** Both directions for one `peft_type`. Which layers are adapted is decided elsewhere, by layer names. */
export interface PeftCodec<Options> {
  /** `peft_type`. */
  readonly type: string;
  /** All known fields with PEFT's defaults. */
  readonly fields: PeftFields;
  /** Fields that must keep their default because the feature is not supported, with their meaning. */
  readonly refused: Readonly<Record<string, string>>;
  /**
   * The value of the field `bias` when the adapted layers' biases are trained along with the method, such as
   * "vera_only".
   */
  readonly biases?: string;
  /** Whether the options say themselves which biases train, so that none do beside the method. */
  ownBiases?(options: Options): boolean;
  /** The method's options, except targets. @throws {RangeError} on values that we cannot reproduce. */
  read(fields: PeftFields): Options;
  /** The fields that options set, except targets. */
  write(options: Options): PeftFields;
  /** The method, from its factory. */
  readonly method: ((options: Options) => Method) & { readonly definition?: MethodDefinition };
  /** Whether a config of the type is this codec's, where a type is that of several methods; default: always. */
  accepts?(fields: PeftFields): boolean;
  /** The layers of a config without `target_modules`, where those are not the queries and values. */
  standard?(model: Model): TargetOptions;
  /** Fields as PEFT computes with them, where it records others: by the names and shapes of the folder's tensors. */
  asStored?(fields: PeftFields, tensors: ReadonlyMap<string, Shape>): PeftFields;
  /** The method of a config, where that is more than options and the layers of its targets. */
  part?(config: PeftConfig, model: Model): ReadPart;
  /** The fields of layers with those that only this type has. */
  layerFields?(fields: PeftFields, places: readonly MatrixPlace[], options: Options): PeftFields;
  /** Frozen parameters that the folder lacks and that PEFT computes again from the base. */
  frozen?(model: Model, places: readonly MatrixPlace[], options: Options): Promise<Tree>;
  /** The layers that an adapter changes, where its parameters do not stand at them. */
  adapted?(adapter: Adapter, params: Tree, options: Options, spec: Spec): readonly MatrixPlace[];
  /** Refuses what PEFT would compute otherwise. @throws {RangeError} */
  check?(places: readonly MatrixPlace[], options: Options, targets: PeftFields): void;
  /** The tensors for layers. @throws {RangeError} when the method cannot adapt a layer. */
  tensors(places: readonly MatrixPlace[], options: Options, spec: Spec): readonly PeftTensor[];
}

/**
 * A numeric field of the config.
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
 * A boolean field of the config.
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
 * Numeric values by pattern; undefined when there are none.
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
  throw typeError(
    "INVALID_ARGUMENT",
    `Expected the field "${name}" of adapter_config.json to be ${expected} but found ${
      JSON.stringify(value)
    }`,
  );
}

/** Any codec. */
// deno-lint-ignore no-explicit-any -- options of a codec are those of its own method; a list of codecs cannot know them
export type AnyPeftCodec = PeftCodec<any>;
