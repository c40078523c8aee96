/** GGUF blocks as whole numbers and their scales: an element is d · scaled, + m or − m · minimum. See gguf.ts for the layouts. */
import type { GgufType } from "../../../tensor/dtype.ts";
import { f16Value } from "./half.ts";
import { code256, code32, code6, signed, sixBits } from "./gguf.ts";

/** A block. */
export interface BlockCodes {
  readonly d: number;
  /** Absent where nothing is added to an element. */
  readonly m?: number;
  /** (code − centre) · scale of its group, an element each. */
  readonly scaled: Int32Array;
  /** The minimum of its group, an element each; absent where m is added as it is. */
  readonly minima?: Int32Array;
}

/** The codes of a block. */
export function ggufCodes(dtype: GgufType, block: Uint8Array): BlockCodes {
  const half = (at: number) => f16Value(block[at]! | (block[at + 1]! << 8));
  const of = (n: number, code: (i: number) => number): Int32Array =>
    Int32Array.from({ length: n }, (_, i) => code(i));
  switch (dtype) {
    case "q4_0":
      return { d: half(0), scaled: of(32, (i) => code32(block, i, undefined, 2) - 8) };
    case "q4_1":
      return { d: half(0), m: half(2), scaled: of(32, (i) => code32(block, i, undefined, 4)) };
    case "q5_0":
      return { d: half(0), scaled: of(32, (i) => code32(block, i, 2, 6) - 16) };
    case "q5_1":
      return { d: half(0), m: half(2), scaled: of(32, (i) => code32(block, i, 4, 8)) };
    case "q8_0":
      return { d: half(0), scaled: of(32, (i) => signed(block[2 + i]!)) };
    case "q4_k":
    case "q5_k": {
      const [high, low] = dtype === "q4_k" ? [undefined, 16] : [16, 48];
      return {
        d: half(0),
        m: half(2),
        scaled: of(256, (i) => code256(block, i, high, low) * sixBits(block, i >> 5, 0)),
        minima: of(256, (i) => sixBits(block, i >> 5, 4)),
      };
    }
    case "q6_k":
      return {
        d: half(208),
        scaled: of(256, (i) => (code6(block, i) - 32) * signed(block[192 + (i >> 4)]!)),
      };
    default:
      return dtype satisfies never;
  }
}
