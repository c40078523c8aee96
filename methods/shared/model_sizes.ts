/** Sizes of methods that suit those of a model: defaults of the command line, and settings of tables that compare methods. */
import {
  type MatrixPlace,
  type Model,
  type Published,
  sizesOf,
  type Spec,
  weightLeaves,
} from "../../core/mod.ts";

/** d, of the first stack. */
function widthOf({ stacks }: Spec): number {
  return stacks[0]?.width ?? 0;
}

/** d / r for a bottleneck of r, such that rounding the quotient down gives r again. */
export function reductionOf(bottleneck: number | undefined, spec: Spec): number | undefined {
  if (bottleneck === undefined) return undefined;
  const d = widthOf(spec);
  return Math.floor(d / (d / bottleneck)) === bottleneck ? d / bottleneck : d / (bottleneck + 0.5);
}

/** Sizes of a PHM layer: n, at most the default, divides both d and r; r is close to d / 32. */
export function phmSizes(
  spec: Spec,
  usual: number,
  bottleneck: number | undefined,
): { readonly reduction: number; readonly dimension: number } {
  const d = widthOf(spec);
  const sizes = Array.from({ length: usual }, (_, i) => usual - i);
  const n = sizes.find((n) => d % n === 0 && (bottleneck === undefined || bottleneck % n === 0)) ?? 1;
  const r = bottleneck ?? n * Math.max(1, Math.round(d / 32 / n));
  return { reduction: reductionOf(r, spec)!, dimension: n };
}

/** The reduction factor of a side network: 8, or the largest that keeps head sizes even. */
export function sideReduction(spec: Spec): number {
  const fits = (ρ: number): boolean =>
    widthOf(spec) % ρ === 0 && spec.attentions.every(({ headDim }) => headDim % (2 * ρ) === 0);
  return [8, 7, 6, 5, 4, 3, 2].find(fits) ?? 1;
}

/** The fewest elements of a matrix of some layers. */
export function smallestMatrix(places: readonly MatrixPlace[]): number {
  return Math.min(...places.map(sizesOf).map(({ inFeatures, outFeatures }) => inFeatures * outFeatures));
}

/** The greatest number that divides all inputs and outputs of some layers. */
export function commonDivisor(places: readonly MatrixPlace[]): number {
  const divisor = (a: number, b: number): number => b === 0 ? a : divisor(b, a % b);
  return places.map(sizesOf).flatMap((s) => [s.inFeatures, s.outFeatures]).reduce(divisor);
}

/** The largest common divisor of all inputs and outputs of some layers up to VB-LoRA's 256. */
export function bankLength(places: readonly MatrixPlace[]): number {
  const divisor = commonDivisor(places);
  return Array.from({ length: 256 }, (_, i) => 256 - i).find((n) => divisor % n === 0)!;
}

/** The fewest inputs of some layers. */
export function smallestInput(places: readonly MatrixPlace[]): number {
  return Math.min(...places.map((place) => sizesOf(place).inFeatures));
}

/** SHiRA's rank: 8, or as many positions as the smallest of some layers has. */
export function sparseRank(places: readonly MatrixPlace[]): number {
  const most = places.map(sizesOf).map(({ inFeatures, outFeatures }) =>
    inFeatures * outFeatures / (inFeatures + outFeatures)
  );
  return Math.max(1, Math.min(8, Math.floor(Math.min(...most))));
}

/** S4's budget: the paper's 0.5 % of the model, or the minimum that its parts need in a small one. */
export function s4Budget({ linears, embeddings, blocks }: Spec): number {
  const all = linears.reduce((n, { inFeatures, outFeatures }) => n + inFeatures * outFeatures, 0) +
    embeddings.reduce((n, { rows, width }) => n + rows * width, 0);
  const widest = Math.max(...linears.map(({ inFeatures, outFeatures }) => Math.max(inFeatures, outFeatures)));
  return Math.max(Math.floor(0.005 * all), 12 * widest * blocks.length);
}

/**
 * Groups of blocks, narrow at both ends, for stacks that S4's own rule cannot divide; undefined where it can.
 */
export function s4Groups({ stacks }: Spec): readonly number[] | undefined {
  const blocks = stacks[0]?.layers ?? 0;
  if (![4, 5, 7].includes(blocks)) return undefined;
  return [1, Math.ceil(blocks / 2) - 1, Math.floor(blocks / 2) - 1, 1];
}

/** Numbers of a model's weights. */
export function weightCount({ weights }: Model): number {
  return weightLeaves(weights).reduce((n, [, leaf]) => n + leaf.size, 0);
}

/** Rows of a prompt or prefix: the usual number, or half of a short context. */
export function promptRows(model: Model, usual: number): number {
  return Math.min(usual, Math.max(1, Math.floor(contextOf(model) / 2)));
}

/** The published setting of a method with so many rows. */
export function rowsSetting(usual: number, rest = ""): Pick<Published, "setting" | "options"> {
  return {
    setting: (model) => `${promptRows(model, usual)} rows${rest}`,
    options: (model) => ({ length: promptRows(model, usual) }),
  };
}

/** How many tokens a model reads at once, by its config; infinite where positions are relative. */
function contextOf({ config }: Model): number {
  const size = (name: string): number | undefined => {
    const value = config[name];
    return typeof value === "number" ? value : undefined;
  };
  if (size("relative_attention_num_buckets") !== undefined) return Infinity;
  const skipped = String(config["model_type"]).includes("roberta") ? 1 + (size("pad_token_id") ?? 1) : 0;
  return (size("n_positions") ?? size("max_position_embeddings") ?? Infinity) - skipped;
}
