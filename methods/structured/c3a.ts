/**
 * C3A. Chen et al. 2024, "Parameter-Efficient Fine-Tuning via Circular Convolution", arXiv 2407.19342, section 3.
 *
 *   y = W x + b + 1/in C(w) x        w [out / c, in / c, c]
 *
 * C(w) consists of circulant blocks [c, c], whose first rows are w, so it can have full rank. The larger the
 * blocks, the fewer the parameters. The divisor is PEFT's. w starts uniform, so the model is initially
 * changed; "zeros" leaves it unchanged.
 */
import {
  blockCirculant,
  chooseTargets,
  type DefinedMethod,
  type Model,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { bounded, count, oneOf, option, record } from "../../core/options/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { normal, uniform, zeros } from "../shared/initial.ts";
import { commonDivisor } from "../shared/model_sizes.ts";
import { rangeError } from "../../errors/error.ts";

const sizeOf = ({ spec }: Model): number => commonDivisor(chooseTargets(spec, {}));

/** Options of C3A. */
export interface C3aOptions extends TargetOptions {
  /** c, default 256. Divides the inputs and outputs of every layer. */
  readonly block?: number;
  /** c by pattern matching the end of the path; the first match applies. */
  readonly blockPattern?: Readonly<Record<string, number>> | undefined;
  /** Uniform in ±√(6 / (in + out)) ("xavier", default) or ±1/√in ("kaiming"), N(0, 1) ("normal"), or zero. */
  readonly initialization?: "xavier" | "kaiming" | "normal" | "zeros";
}

/**
 * C3A as a method. Parameters: `kernel` [out / c, in / c, c] under each layer's path.
 *
 * @throws {RangeError} when a block is not a positive integer or does not divide a layer's sizes, or targets
 * match nothing.
 * @example
 * ```ts
 * import { c3a } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(c3a({ block: 64 }).name, "c3a");
 * ```
 */
export const c3a: DefinedMethod<C3aOptions> = defineLinear<C3aOptions, { readonly kernel: Tensor }>({
  name: "c3a",
  summary: "Adds a circular convolution to chosen layers, in blocks.",
  facts: { parameters: "in out / c", merges: "yes" },
  title: "C3A",
  options: {
    block: option(bounded(count, "width"), "c, the size of the circulant blocks", 256),
    blockPattern: option(
      record(bounded(count, "width")),
      "c by pattern of the layer's path; the first match applies",
    ),
    initialization: option(
      oneOf("xavier", "kaiming", "normal", "zeros"),
      "how the blocks' first rows start",
      "xavier",
    ),
  },
  keys: "layer",
  params: ({ path, inFeatures, outFeatures }, { block: c, initialization }) => {
    if (inFeatures % c !== 0 || outFeatures % c !== 0) {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot put circulant blocks on "${path}" [${outFeatures}, ${inFeatures}]: ${c} divides not both sizes`,
      );
    }
    const shape = [outFeatures / c, inFeatures / c, c];
    if (initialization === "zeros") return { kernel: zeros(shape) };
    if (initialization === "normal") return { kernel: normal(shape) };
    const bound = Math.sqrt(initialization === "xavier" ? 6 / (inFeatures + outFeatures) : 1 / inFeatures);
    return { kernel: uniform(shape, -bound, bound) };
  },
  map: ({ kernel }, _, { inFeatures }) => blockCirculant(kernel, 1 / inFeatures),
  cli: {
    rate: 1e-1,
    flags: ["targets"],
    options: (_, __, places) => ({ block: commonDivisor(places) }),
  },
  published: {
    setting: (model) => `blocks of ${sizeOf(model)} on q and v`,
    options: (model) => ({ block: sizeOf(model) }),
  },
});
