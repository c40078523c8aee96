/**
 * The cost of four-bit quantization by type: errors of the weights and perplexity on a text, compared with
 * the survey's numbers.
 */
import {
  type CodebookType,
  type DoubleType,
  jointError,
  type Model,
  type QuantizationError,
  quantizationErrors,
  quantize,
  type WeightError,
} from "../core/mod.ts";
import { heldOutLoss, type Rows } from "./mod.ts";

/**
 * A four-bit type, and the mean perplexity over models from 125M to 13B that the QLoRA paper and the survey
 * report.
 */
interface FourBit {
  readonly dtype: CodebookType | DoubleType;
  readonly survey?: number;
}

/** arXiv 2305.14314, table 2 (int4, E2M1, E3M0, NF4 with double quantization), quoted by the survey. */
export const FOUR_BIT: readonly FourBit[] = [
  { dtype: "int4", survey: 34.34 },
  { dtype: "e2m1", survey: 31.07 },
  { dtype: "e3m0", survey: 29.48 },
  { dtype: "fp4" },
  { dtype: "nf4" },
  { dtype: "nf4_double", survey: 27.41 },
];

/** One type on one model. */
export interface TypeResult extends FourBit, QuantizationError {
  readonly bitsPerWeight: number;
  readonly perplexity: number;
  /** By block, in order. */
  readonly layers: readonly (QuantizationError & { readonly layer: number })[];
  readonly weights: readonly WeightError[];
}

/** All types on one model. */
export interface TypeComparison {
  /** The perplexity of the model as loaded. */
  readonly perplexity: number;
  readonly tokens: number;
  readonly types: readonly TypeResult[];
  /**
   * Pairs whose order by measured perplexity differs from the survey's: [survey says better, measured
   * better].
   */
  readonly disagreements: readonly (readonly [string, string])[];
}

/**
 * Measures every four-bit type on the linear layers of the blocks. `tell` is called with each perplexity when
 * it is known.
 */
export async function compareTypes(
  model: Model,
  rows: Rows,
  options: { readonly pad: number; readonly batchSize: number },
  tell: (what: string, perplexity: number) => void = () => {},
): Promise<TypeComparison> {
  const base = await heldOutLoss(model, rows, options);
  tell("as loaded", base.perplexity);
  const types: TypeResult[] = [];
  for (const type of FOUR_BIT) {
    const weights = await quantizationErrors(model, { dtype: type.dtype });
    const all = jointError(weights);
    const small = quantize(model, { dtype: type.dtype, requantize: true });
    try {
      const { perplexity } = await heldOutLoss(small, rows, options);
      tell(type.dtype, perplexity);
      const bitsPerWeight = 8 * all.bytes / all.elements;
      types.push({ ...type, ...all, bitsPerWeight, perplexity, layers: byLayer(weights), weights });
    } finally {
      small.dispose();
    }
  }
  return { perplexity: base.perplexity, tokens: base.tokens, types, disagreements: disagreements(types) };
}

function byLayer(
  weights: readonly WeightError[],
): readonly (QuantizationError & { readonly layer: number })[] {
  const groups = new Map<number, WeightError[]>();
  for (const weight of weights) {
    if (weight.layer !== undefined) groups.set(weight.layer, [...groups.get(weight.layer) ?? [], weight]);
  }
  return [...groups].map(([layer, parts]) => ({ layer, ...jointError(parts) }));
}

/** Pairs of types whose order of perplexities differs from the survey's. */
export function disagreements(
  types: readonly { readonly dtype: string; readonly survey?: number; readonly perplexity: number }[],
): readonly (readonly [string, string])[] {
  const known = types.filter((type): type is typeof type & { survey: number } => type.survey !== undefined);
  return known.flatMap((a) =>
    known.filter((b) => a.survey < b.survey && a.perplexity > b.perplexity)
      .map((b) => [a.dtype, b.dtype] as const)
  );
}
