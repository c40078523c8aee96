/**
 * S4. Chen et al. 2023, "Parameter-Efficient Fine-Tuning Design Spaces", arXiv 2301.01821, section 4: the
 * result of the paper's design search, as a composition.
 *
 *   blocks in four groups, narrow at both ends:  N₁ < N₂ = N₃ > N₄
 *   the same number of trained parameters for every block of the model
 *   G₁ adapter, LoRA    G₂ adapter, prefix    G₃ adapter, prefix, BitFit    G₄ prefix, BitFit, LoRA
 *
 * for T5-base and RoBERTa. The paper does not state the groups' sizes or how a block's share is divided among
 * its parts, and the released code is UniPELT's: here a group at either end has a sixth of the blocks, or as
 * close to it as the rule above allows ([2, 4, 4, 2] of twelve, [2, 3, 3, 1] of nine; N₁ takes the remainder;
 * seven blocks, and fewer than six, cannot be divided so), biases take what they need and the other parts
 * share equally. Each stack has its own groups.
 */
import {
  at,
  compose,
  type DefinedMethod,
  defineMethod,
  layers,
  type Method,
  type Model,
  type Spec,
  type Stack,
} from "../../core/mod.ts";
import { bounded, count, list, oneOf, option } from "../../core/options/mod.ts";
import { bitfit } from "../selective/bitfit.ts";
import { lora } from "../low_rank/lora.ts";
import { pfeiffer } from "../adapters/pfeiffer.ts";
import { prefixTuning } from "../soft_prompts/prefix_tuning.ts";
import { s4Budget, s4Groups, weightCount } from "../shared/model_sizes.ts";
import { type S4Part, s4Shares, type S4Sizes, s4Sizes, spindle } from "./s4_sizes.ts";
import { rangeError } from "../../errors/error.ts";

export type { S4Part } from "./s4_sizes.ts";

/** Options of S4. */
export interface S4Options {
  /**
   * Maximum number of trained parameters in the whole model. Default: the paper's 0.5 % of the matrices, or the least that the
   * parts need.
   */
  readonly budget?: number | undefined;
  /**
   * Number of blocks in each group of a stack, from the input on. Default: N₁ < N₂ = N₃ > N₄, for stacks of 6
   * blocks, and of 8 or more.
   */
  readonly groups?: readonly number[] | undefined;
  /** The parts of each group. Default: as above. */
  readonly parts?: readonly (readonly S4Part[])[];
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
 * @throws {RangeError} when the budget is not a positive integer, `groups` and `parts` differ in number, a
 * list of parts is empty or contains duplicates, or at init when the groups do not add up to the stack's
 * blocks, or none are given and its blocks cannot be split as above, or the budget is too small for a part or
 * more than its bottlenecks can use.
 * @example
 * ```ts
 * import { s4 } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(s4({ budget: 600_000 }).name, "s4");
 * ```
 */
export const s4: DefinedMethod<S4Options> = defineMethod<S4Options>({
  name: "s4",
  summary: "Gives four groups of blocks different methods, as a search over designs found best.",
  title: "S4",
  options: {
    budget: option(count, "trained parameters of the whole model, at most; by default half a percent of it"),
    groups: option(list(bounded(count, "blocks")), "blocks of each group of a stack, from the input on"),
    parts: option(
      list(list(oneOf("adapter", "prefix", "bitfit", "lora"))),
      "what each group has: adapter, prefix, bitfit, lora",
      FOUND,
    ),
  },
  create: ({ budget: given, parts, groups }) => {
    const lists = groups?.length ?? FOUND.length; // the default has four
    if (lists !== parts.length) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected as many groups as lists of parts, ${parts.length}, but found ${lists}`,
      );
    }
    const odd = parts.findIndex((list) => list.length === 0 || new Set(list).size < list.length);
    if (odd >= 0) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected every group to name parts, each once, but group ${odd + 1} has [${parts[odd]!.join(", ")}]`,
      );
    }
    const groupsOf = (spec: Spec, stack: Stack): readonly Group[] => {
      const ends = edges(groups ?? spindle(blocksOf(spec, stack)), blocksOf(spec, stack));
      return ends.map((to, i) => ({ stack, from: ends[i - 1] ?? 0, to, parts: parts[i]! }));
    };
    const plan = (spec: Spec): Method => {
      const all = new Map(stacksOf(spec).map((stack) => [stack, groupsOf(spec, stack)]));
      const budget = given ?? s4Budget(spec);
      checkBudget(budget, spec, [...all.values()].flat());
      const share = budget / spec.blocks.length;
      return composed(
        [...all.keys()],
        (stack) =>
          composed(all.get(stack)!.map((_, i) => `${i + 1}`), (name) => {
            const { from, to, parts } = all.get(stack)![Number(name) - 1]!;
            const sizes = s4Sizes(spec, stack, to - 1, parts, share);
            return at(layers(from, to, stack), composed(parts, (part) => partOf(part, sizes, spec)));
          }),
      );
    };
    return {
      init: (given) => plan(given.model.spec).init(given),
      edits: (params, spec) => plan(spec).edits(params, spec),
    };
  },
  cli: {
    rate: 5e-4,
    flags: ["dimension"],
    options: ({ dimension }, spec) => ({ budget: dimension ?? s4Budget(spec), groups: s4Groups(spec) }),
  },
  survey: {
    kinds: "ARS",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "Extra FFN and input",
    trainable: "0.5",
    changed: "more than 0.5",
    differs: "the released code has no groups; ours follow the paper",
  },
  published: {
    setting: (model) => `${Number((100 * publishedBudget(model) / weightCount(model)).toPrecision(2))} %`,
    options: (model) => ({ budget: publishedBudget(model), groups: s4Groups(model.spec) }),
  },
});

/** Half a percent of a model, or the minimum that the parts need. */
const publishedBudget = (model: Model): number =>
  Math.max(1, Math.floor(0.005 * weightCount(model)), s4Budget(model.spec));

const composed = <N extends string>(names: readonly N[], of: (name: N) => Method): Method =>
  compose(Object.fromEntries(names.map((name) => [name, of(name)]))) as Method;

function partOf(part: S4Part, sizes: S4Sizes, spec: Spec): Method {
  switch (part) {
    case "adapter": {
      const width = spec.blocks[0]!.width;
      // ⌊d / reduction⌋ = r, regardless of rounding; pfeiffer accepts no reduction below 1.
      return pfeiffer({ reduction: Math.max(1, width / (sizes.adapter! + 0.5)) });
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

/** The parts of one group of blocks. */
interface Group {
  readonly stack: Stack;
  /** Its first block, and the one after its last. */
  readonly from: number;
  readonly to: number;
  readonly parts: readonly S4Part[];
}

/**
 * @throws {RangeError} when the budget is too small for every part in every block, or larger than the
 * bottlenecks can use.
 */
function checkBudget(budget: number, spec: Spec, groups: readonly Group[]): void {
  const blocks = spec.blocks.length;
  const needs = groups.map(({ stack, to, parts }) => ({
    where: `${parts.join(", ")} in ${stack} block ${to - 1}`,
    ...s4Shares(spec, stack, to - 1, parts),
  }));
  const [neediest] = needs.toSorted((a, b) => b.least - a.least);
  const [fullest] = needs.toSorted((a, b) => a.most - b.most);
  const [least, most] = [blocks * neediest!.least, blocks * fullest!.most - 1];
  if (least > most) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot share a budget alike: ${blocks} blocks need ${least} for ${neediest!.where}, and ${
        fullest!.where
      } can use ` +
        `${most} at most; choose other groups or parts`,
    );
  }
  if (budget >= least && budget <= most) return;
  const { where } = budget < least ? neediest! : fullest!;
  const reason = budget < least
    ? `less is too little for ${where}`
    : `more makes a bottleneck of ${where} wider than the block`;
  const range = most === Infinity ? `at least ${least}` : `from ${least} to ${most}`;
  throw rangeError(
    "INVALID_ARGUMENT",
    `Expected budget ${range} for the ${blocks} blocks of this model but found ${budget}: ${reason}`,
  );
}

/** Where each group ends. */
function edges(groups: readonly number[], blocks: number): readonly number[] {
  const ends = groups.map((_, i) => groups.slice(0, i + 1).reduce((a, b) => a + b, 0));
  if (ends.at(-1) !== blocks || groups.some((n) => !Number.isInteger(n) || n < 1)) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected groups of positive sizes that add up to ${blocks} but found ${groups.join(", ")}`,
    );
  }
  return ends;
}

const stacksOf = (spec: Spec): readonly Stack[] => [...new Set(spec.blocks.map(({ stack }) => stack))];
const blocksOf = (spec: Spec, stack: Stack): number => spec.blocks.filter((b) => b.stack === stack).length;
