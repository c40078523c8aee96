/**
 * S4. Chen et al. 2023, "Parameter-Efficient Fine-Tuning Design Spaces", arXiv 2301.01821, section 4: what a search over
 * designs found, as a composition.
 *
 *   blocks in four groups, narrow at both ends:  N₁ < N₂ = N₃ > N₄
 *   the same number of trained numbers for every block of the model
 *   G₁ adapter, LoRA    G₂ adapter, prefix    G₃ adapter, prefix, BitFit    G₄ prefix, BitFit, LoRA
 *
 * for T5-base and RoBERTa. The groups' sizes and how a block's share is split among its parts were not to be found, and the
 * released code is UniPELT's: here a group at an end has a sixth of the blocks ([2, 4, 4, 2] of twelve; N₁ takes what is left
 * over), biases take what they need and the other parts share alike. Each stack has groups of its own.
 */
import {
  at,
  compose,
  type Json,
  type LinearPlace,
  type Method,
  type Place,
  type Spec,
  type Stack,
} from "../core/mod.ts";
import { bitfit } from "./bitfit.ts";
import { lora } from "./lora.ts";
import { pfeiffer } from "./pfeiffer.ts";
import { prefixTuning } from "./prefix_tuning.ts";
import { checkPositive } from "./random_factor.ts";

/** What a group may be tuned by. */
export type S4Part = "adapter" | "prefix" | "bitfit" | "lora";

/** Options of S4. */
export interface S4Options {
  /** Trained numbers in the whole model, at most. The paper's budget is 0.5 % of the model. */
  readonly budget: number;
  /** Blocks of each group of a stack, from the input on. Default: narrow at both ends, for stacks of 6 blocks or more. */
  readonly groups?: readonly number[];
  /** The parts of each group. Default: as above. */
  readonly parts?: readonly (readonly S4Part[])[];
}

/** How large each part of a group is in a block. */
export interface S4Sizes {
  /** r of the adapter. */
  readonly adapter?: number;
  /** Rows of a prefix. */
  readonly prefix?: number;
  /** r of LoRA. */
  readonly lora?: number;
}

const FOUND: readonly (readonly S4Part[])[] = [
  ["adapter", "lora"],
  ["adapter", "prefix"],
  ["adapter", "prefix", "bitfit"],
  ["prefix", "bitfit", "lora"],
];

/**
 * S4 as a method. Parameters under `<stack>.<group>.<part>`, groups counted from 1.
 *
 * @throws {RangeError} when the budget is no positive integer, `groups` and `parts` differ in number, or at init when the
 * groups do not add up to the stack's blocks or the budget is too small for a part.
 * @example
 * ```ts
 * import { s4 } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(s4({ budget: 600_000 }).name, "s4");
 * ```
 */
export function s4(options: S4Options): Method {
  const { budget, parts = FOUND, groups } = options;
  checkPositive("budget", budget);
  if (groups !== undefined && groups.length !== parts.length) {
    throw new RangeError(
      `Expected as many groups as lists of parts, ${parts.length}, but found ${groups.length}`,
    );
  }
  const plan = (spec: Spec): Method => {
    const share = budget / spec.blocks.length;
    return composed(stacksOf(spec), (stack) => {
      const bounds = edges(groups ?? spindle(blocksOf(spec, stack)), blocksOf(spec, stack));
      return composed(bounds.map((_, i) => `${i + 1}`), (name) => {
        const i = Number(name) - 1;
        const here = (place: Place): boolean =>
          place.stack === stack && place.layer !== undefined && place.layer >= (bounds[i - 1] ?? 0) &&
          place.layer < bounds[i]!;
        const sizes = s4Sizes(spec, stack, bounds[i]! - 1, parts[i]!, share);
        return at(here, composed(parts[i]!, (part) => partOf(part, sizes, spec)));
      });
    });
  };
  return {
    name: "s4",
    config: { ...options } as unknown as Readonly<Record<string, Json>>,
    init: (given) => plan(given.model.spec).init(given),
    edits: (params, spec) => plan(spec).edits(params, spec),
  };
}

const composed = <N extends string>(names: readonly N[], of: (name: N) => Method): Method =>
  compose(Object.fromEntries(names.map((name) => [name, of(name)]))) as Method;

function partOf(part: S4Part, sizes: S4Sizes, spec: Spec): Method {
  switch (part) {
    case "adapter": {
      const width = spec.blocks[0]!.width;
      return pfeiffer({ reduction: width / (sizes.adapter! + 0.5) }); // ⌊d / reduction⌋ = r, whatever the rounding
    }
    case "prefix":
      return prefixTuning({ length: sizes.prefix!, network: "none" });
    case "bitfit":
      return bitfit({ classifier: "bias" });
    case "lora":
      return lora({ rank: sizes.lora! });
    default:
      return part satisfies never;
  }
}

/**
 * The largest sizes with which a block's parts have at most `share` numbers: biases all they need, the others alike.
 *
 * @throws {RangeError} when nothing is left for a part.
 */
export function s4Sizes(
  spec: Spec,
  stack: Stack,
  layer: number,
  parts: readonly S4Part[],
  share: number,
): S4Sizes {
  const here = <P extends Place>(places: readonly P[]): readonly P[] =>
    places.filter((place) => place.stack === stack && place.layer === layer);
  const total = <T>(items: readonly T[], f: (item: T) => number): number =>
    items.reduce((n, x) => n + f(x), 0);
  const biases = parts.includes("bitfit")
    ? total(here(spec.linears), (p) => p.outFeatures) + total(here(spec.norms), (p) => p.width)
    : 0;
  const others = parts.filter((part) => part !== "bitfit");
  const each = (share - biases) / Math.max(1, others.length);
  const fitted = (part: S4Part): number => {
    switch (part) {
      case "adapter": {
        const adapters = here(spec.sublayers).filter(({ role }) => role === "feedForward");
        const fixed = total(adapters, ({ width }) => width);
        return Math.floor((each - fixed) / total(adapters, ({ width }) => 2 * width + 1)); // 2 r d + r + d
      }
      case "prefix": // 2 n d_kv
        return Math.floor(each / total(here(spec.attentions), (p) => 2 * p.keyValueHeads * p.headDim));
      case "lora": // r (in + out)
        return Math.floor(
          each / total(here(spec.linears).filter(isDefault), (p) => p.inFeatures + p.outFeatures),
        );
      default:
        return 1;
    }
  };
  const sizes = Object.fromEntries(others.map((part) => [part, fitted(part)]));
  const missing = Object.entries(sizes).find(([, size]) => !(size >= 1));
  if (missing !== undefined || share < biases) {
    throw new RangeError(
      `The budget leaves ${Math.floor(share)} numbers for a block, too few for ${missing?.[0] ?? "bitfit"} ` +
        `in ${stack} block ${layer}: raise it or choose fewer parts`,
    );
  }
  return sizes;
}

/** LoRA's default layers. */
const isDefault = ({ role }: LinearPlace): boolean => ["query", "value", "qkv"].includes(role);

/** Sizes of four groups, narrow at both ends. */
function spindle(blocks: number): readonly number[] {
  if (blocks < 6) {
    throw new RangeError(
      `Expected groups, since ${blocks} blocks are too few for four that are narrow at both ends`,
    );
  }
  const end = Math.round(blocks / 6);
  const middle = Math.floor((blocks - 2 * end) / 2);
  return [blocks - 2 * middle - end, middle, middle, end];
}

/** Where each group ends. */
function edges(groups: readonly number[], blocks: number): readonly number[] {
  const ends = groups.map((_, i) => groups.slice(0, i + 1).reduce((a, b) => a + b, 0));
  if (ends.at(-1) !== blocks || groups.some((n) => !Number.isInteger(n) || n < 1)) {
    throw new RangeError(
      `Expected groups of positive sizes that add up to ${blocks} but found ${groups.join(", ")}`,
    );
  }
  return ends;
}

const stacksOf = (spec: Spec): readonly Stack[] => [...new Set(spec.blocks.map(({ stack }) => stack))];
const blocksOf = (spec: Spec, stack: Stack): number => spec.blocks.filter((b) => b.stack === stack).length;
