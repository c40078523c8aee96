/**
 * f32 products against the fused-multiply-add peak of four lanes, measured by the crate in the same run (0.85
 * of it is a ratio of 1.18), against the other runtimes on one thread; and two threads against one, and
 * against jax-js, which starts one worker per core. A reading is many consecutive products, so that wake-up
 * and cold caches are a small share of it.
 */
import { atMost, ours, type Own, type PeerCommand, python, type Row, rowOn, script } from "../row.ts";

const SHAPES = [[128, 1536, 576], [128, 576, 1536], [768, 768, 768], [1536, 1536, 1536]] as const;

/** One row per shape on a backend, and one for its two threads. */
export const productsOn = (backend: Own): readonly Row[] =>
  SHAPES.flatMap(([m, n, k]): readonly Row[] => {
    const shape = { m, n, k, times: m > 1000 ? 4 : 40 };
    const row = (name: string, what: string, ...peers: readonly PeerCommand[]): Row =>
      rowOn(backend, { name: `product-${m}x${k}x${n}${name}`, what, repetitions: 9, warmUp: 4, peers });
    const own = (threads: number): PeerCommand =>
      ours(backend, "product.ts", { ...shape, threads }, `graft, ${threads} thread${threads > 1 ? "s" : ""}`);
    return [
      row(
        "",
        `f32 product [${m}, ${k}] by [${k}, ${n}], one thread`,
        own(1),
        atMost(1 / 0.85, script("the FMA peak of four lanes", "fma_peak.ts", shape)),
        atMost(1 / 1.4, script("tfjs", "product_tfjs.ts", shape)),
        atMost(1 / 1.4, script("onnxruntime-web", "product_onnx.ts", shape)),
        python("PyTorch", "product.py", shape),
      ),
      row(
        "-threads",
        "the same on two threads against one",
        own(2),
        atMost(1 / 1.9, own(1)),
        atMost(1 / 1.4, script("jax-js", "product_jax.ts", shape)),
        python("PyTorch, 2 threads", "product.py", { ...shape, threads: 2 }),
      ),
    ];
  });

/** How close the product's innermost loop alone comes to the peak: no product can be closer. */
export const productTile: Row = {
  name: "product-tile",
  what: "the product's innermost loop alone on panels in the first-level cache, one thread",
  repetitions: 9,
  warmUp: 4,
  peers: [
    script("the loop", "tile_peak.ts", { m: 768, n: 768, k: 768, times: 40 }),
    script("the FMA peak of four lanes", "fma_peak.ts", { m: 768, n: 768, k: 768, times: 40 }),
  ],
};
