/**
 * How S4 (`s4.ts`) divides blocks and a budget: every block has the same share; biases take what they need,
 * the other parts share equally. A part of size n has `fixed + n · one` parameters per block.
 */
import type { LinearPlace, Place, Spec, Stack } from "../../core/mod.ts";
import { rangeError } from "../../errors/error.ts";

/** The methods available to a group. */
export type S4Part = "adapter" | "prefix" | "bitfit" | "lora";

/** The size of each part of a group in a block. */
export interface S4Sizes {
  /** r of the adapter. */
  readonly adapter?: number;
  /** Rows of a prefix. */
  readonly prefix?: number;
  /** r of LoRA. */
  readonly lora?: number;
}

/** The parameter count of a part as a function of its size, which is at most `largest`. */
interface Need {
  readonly fixed: number;
  readonly one: number;
  readonly largest: number;
}

/**
 * Sizes of four groups of blocks, N₁ < N₂ = N₃ > N₄: end groups that differ by at most one, the last as close
 * as possible to a sixth.
 *
 * @throws {RangeError} when this is impossible: for fewer than six blocks, and for seven.
 */
export function spindle(blocks: number): readonly [number, number, number, number] {
  const left = blocks % 2; // added to N₁
  const ends = Array.from({ length: Math.max(0, Math.floor(blocks / 4)) }, (_, i) => i + 1)
    .filter((end) => end + left < (blocks - left) / 2 - end);
  const [end] = ends.toSorted((a, b) => Math.abs(6 * a - blocks) - Math.abs(6 * b - blocks) || b - a);
  if (end === undefined) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected groups, since ${blocks} blocks cannot be split into four of which the middle ones are alike and wider than ` +
        "either end",
    );
  }
  const middle = (blocks - left) / 2 - end;
  return [end + left, middle, middle, end];
}

/**
 * The largest sizes with which a block's parts have at most `share` parameters; `share` must be one that
 * `s4Shares` allows.
 */
export function s4Sizes(
  spec: Spec,
  stack: Stack,
  layer: number,
  parts: readonly S4Part[],
  share: number,
): S4Sizes {
  const { biases, others, needs } = needsOf(spec, stack, layer, parts);
  const each = (share - biases) / Math.max(1, others.length);
  return Object.fromEntries(
    others.map((part, i) => [part, Math.floor((each - needs[i]!.fixed) / needs[i]!.one)]),
  );
}

/**
 * The range of shares that a block's parts can use: from `least` to below `most`.
 *
 * @throws {RangeError} when the block has no place for a part.
 */
export function s4Shares(
  spec: Spec,
  stack: Stack,
  layer: number,
  parts: readonly S4Part[],
): { readonly least: number; readonly most: number } {
  const { biases, needs } = needsOf(spec, stack, layer, parts);
  const of = (each: number): number => biases + needs.length * each;
  return {
    least: of(Math.max(0, ...needs.map(({ fixed, one }) => fixed + one))),
    most: Math.min(...needs.map(({ fixed, one, largest }) => of(fixed + (largest + 1) * one)), Infinity),
  };
}

function needsOf(spec: Spec, stack: Stack, layer: number, parts: readonly S4Part[]): {
  readonly biases: number;
  readonly others: readonly S4Part[];
  readonly needs: readonly Need[];
} {
  const here = <P extends Place>(places: readonly P[]): readonly P[] =>
    places.filter((place) => place.stack === stack && place.layer === layer);
  const others = parts.filter((part) => part !== "bitfit");
  return {
    biases: parts.includes("bitfit")
      ? total(here(spec.linears), (p) => p.outFeatures) + total(here(spec.norms), (p) => p.width)
      : 0,
    others,
    needs: others.map((part) => {
      const need = needOf(part, here, spec);
      if (need.one > 0) return need;
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot place ${part} in ${stack} block ${layer}: it has no layer for it`,
      );
    }),
  };
}

function needOf(
  part: S4Part,
  here: <P extends Place>(places: readonly P[]) => readonly P[],
  spec: Spec,
): Need {
  switch (part) {
    case "adapter": { // 2 r d + r + d
      const widths = here(spec.sublayers).filter(({ role }) => role === "feedForward").map(({ width }) =>
        width
      );
      return {
        fixed: total(widths, (d) => d),
        one: total(widths, (d) => 2 * d + 1),
        largest: Math.min(...widths),
      };
    }
    case "prefix": // 2 n d_kv
      return {
        fixed: 0,
        one: total(here(spec.attentions), (p) => 2 * p.keyValueHeads * p.headDim),
        largest: Infinity,
      };
    case "lora": // r (in + out)
      return {
        fixed: 0,
        one: total(here(spec.linears).filter(isDefault), (p) => p.inFeatures + p.outFeatures),
        largest: Infinity,
      };
    default:
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected parts to be adapter, prefix, bitfit or lora but found "${part}"`,
      );
  }
}

/** LoRA's default layers. */
const isDefault = ({ role }: LinearPlace): boolean => ["query", "value", "qkv"].includes(role);

const total = <T>(items: readonly T[], f: (item: T) => number): number =>
  items.reduce((n, item) => n + f(item), 0);
