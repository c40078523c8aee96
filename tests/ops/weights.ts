/** Weights of every dtype, as inputs of a comparison. */
import { byteLength, type DType, ggufBlock, isGguf } from "../../tensor/dtype.ts";
import { reference } from "../../ops/reference/mod.ts";
import { type Input, noise, random, run } from "./kernel_operands.ts";

/** Every dtype of a weight but f32. */
export const CODED: readonly DType[] = [
  ...[
    "f16",
    "bf16",
    "int8",
    "nf4",
    "fp4",
    "int4",
    "e2m1",
    "e3m0",
    "nf4_double",
    "fp4_double",
    "dynamic8",
  ] as const,
  ...["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k", "q5_k", "q6_k"] as const,
];

/** A weight of any dtype: encoded by the reference, or random blocks with moderate f16 scales where it cannot. */
export function coded(shape: readonly number[], dtype: DType, seed: number): Input {
  const values = random(shape, seed);
  if (!dtype.endsWith("_k") || !isGguf(dtype)) {
    const [bytes] = run(reference(), [values], [{ shape, dtype }], (b, [x], [y]) => b.cast(x!, y!));
    return { shape, dtype, bytes: bytes! };
  }
  const bytes = Uint8Array.from(noise(byteLength(dtype, shape), seed, 127.99), (x) => Math.floor(x + 128));
  const block = ggufBlock(dtype).bytes;
  const scales = dtype === "q6_k" ? [208] : [0, 2];
  for (let at = 0; at < bytes.length; at += block) {
    for (const scale of scales) {
      bytes.set([bytes[at + scale]!, 0x20 | (bytes[at + scale + 1]! & 0x83)], at + scale);
    }
  }
  return { shape, dtype, bytes };
}
