/**
 * A quantized GPT-2 lies the other way round than a plain one (core/trees/matrix_layout.ts). No method notices: parameters have the same
 * shapes, and an adapter computes on the codes what it computes on what they say. Tolerance: 1e-5 of the largest logit, for f32 sums.
 */
import assert from "node:assert/strict";
import { publishedMethods } from "../../tuning/published.ts";
import {
  type Adapter,
  bytesOf,
  dequantize,
  forward,
  FROZEN,
  graft,
  leaves,
  merge,
  type Model,
  quantize,
  read,
  type Tree,
} from "../../core/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose } from "../support/assert.ts";
import { tinyGpt2 } from "../support/tiny_models.ts";

const backend = reference();
const base = tinyGpt2(backend, 3, { width: 64, heads: 4, inner: 96, vocabulary: 30 });
const quantized = quantize(base, { dtype: "nf4" });
const plain = dequantize(quantized);

/** What the table has for other models. */
const ELSEWHERE = ["cross-attention", "s4"];

async function logitsOf(model: Model): Promise<Float32Array> {
  return await read(forward(model, { inputIds: [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]] }).logits);
}

/** Moves what trains, so that every part of an adapter shows. */
async function moved(params: Tree): Promise<void> {
  for (const [path, t] of leaves(params)) {
    if (t.dtype !== "f32" || path.split(".").includes(FROZEN)) continue;
    const numbers = new Float32Array(Uint8Array.from(await bytesOf(t)).buffer);
    numbers.forEach((x, i) => numbers[i] = x + 0.05 * Math.sin(1.7 * i + path.length));
    backend.upload(t.raw, new Uint8Array(numbers.buffer));
  }
}

const shapesOf = (params: Tree): readonly string[] =>
  leaves(params).map(([path, t]) => `${path} ${t.shape.join(" × ")}`);

for (const { name, setting, make } of publishedMethods().filter(({ name }) => !ELSEWHERE.includes(name))) {
  Deno.test(`${name} (${setting(plain)}) computes the same on a quantized GPT-2 and on its decoded weights`, async () => {
    const method = make(plain);
    const params = method.init({ model: plain, key: 1 }) as Tree;
    assert.deepEqual(shapesOf(make(quantized).init({ model: quantized, key: 1 }) as Tree), shapesOf(params));
    await moved(params);
    const adapter = { method, params } as Adapter;
    const expected = await logitsOf(graft(plain, adapter));
    assertClose(await logitsOf(graft(quantized, adapter)), expected, 1e-5, "logits");
    const merged = mergedOf(adapter);
    if (merged !== undefined) assertClose(await logitsOf(merged), expected, 1e-5, "merged logits");
  });
}

/** Undefined where no weight holds the method. */
function mergedOf(adapter: Adapter): Model | undefined {
  try {
    return merge(quantized, adapter);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}
