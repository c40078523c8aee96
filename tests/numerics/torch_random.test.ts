/** PyTorch's streams, bit for bit. */
import assert from "node:assert/strict";
import { mersenneTwister, torchRandperm, torchUniform } from "../../numerics/torch_random.ts";
import { goldenNumbers } from "../support/golden.ts";

Deno.test("torchUniform() and torchRandperm() equal torch's", () => {
  const golden = goldenNumbers("reparam/torch_random.safetensors");
  const uniform = golden.get("uniform")!;
  assert.deepEqual(torchUniform(mersenneTwister(11), 700, -0.3, 0.7), uniform);
  for (const [name, expected] of golden) {
    if (name === "uniform") continue;
    const [, seed, n] = name.split(".").map(Number) as [number, number, number];
    assert.deepEqual(torchRandperm(mersenneTwister(seed), n, expected.length), [...expected], name);
  }
});
