/**
 * The same comparisons with the native backend, the crate compiled for this machine: against what PyTorch, transformers and
 * bitsandbytes, which are native too, take. `deno task native` builds it.
 */
import { atMost, ours, type PeerCommand, python, type Row, rowOn } from "../row.ts";
import { generationOn } from "./generation.ts";
import { reparametrisedSteps } from "./own_step.ts";
import { adapterSteps, loraSteps } from "./steps.ts";

const row = (name: string, what: string, repetitions: number, ...peers: readonly PeerCommand[]): Row =>
  rowOn("native", { name, what, repetitions, warmUp: repetitions > 5 ? 2 : 1, peers });

const product = (m: number, k: number, n: number): readonly Row[] =>
  [1, 2].map((threads) => {
    const shape = { m, n, k, threads, times: 10 };
    return row(
      `product-${m}x${k}x${n}${threads > 1 ? "-threads" : ""}`,
      `f32 product [${m}, ${k}] by [${k}, ${n}], ${threads} thread${threads > 1 ? "s" : ""}`,
      9,
      ours("native", "product.ts", shape),
      python("PyTorch", "product.py", shape),
    );
  });

const single = { threads: 2, m: 1, n: 2048, k: 2048, weights: 17, times: 4 };

/** The rows. */
export const nativeRows: readonly Row[] = [
  ...product(128, 1536, 576),
  ...product(128, 576, 1536),
  ...product(768, 768, 768),
  ...product(1536, 1536, 1536),
  ...loraSteps("native"),
  ...adapterSteps("native"),
  ...reparametrisedSteps("native"),
  row(
    "nf4-decode",
    "NF4 [2048, 2048] to f32, two threads",
    9,
    ours("native", "quantise.ts", { what: "decode" }),
    atMost(0.25, python("bitsandbytes", "quantise.py", { what: "decode" })),
  ),
  row(
    "nf4-product-1",
    "[1, 2048] by 17 NF4 matrices [2048, 2048] in turn, two threads",
    9,
    ours("native", "product.ts", { ...single, dtype: "nf4" }, "NF4"),
    atMost(1 / 3, ours("native", "product.ts", single, "f32")),
  ),
  ...(["svd", "qr", "full-qr"] as const).map((what) =>
    row(
      what,
      {
        "svd": "randomized SVD of [2048, 2048]: a sketch of 16 columns, 4 iterations, two threads",
        "qr": "QR of [2048, 16], two threads",
        "full-qr": "QR of [2048, 2048], two threads",
      }[what],
      what === "full-qr" ? 3 : 9,
      ours("native", "factor.ts", { what }),
      what === "full-qr"
        ? python("PyTorch", "factor.py", { what })
        : atMost(what === "svd" ? 0.5 : 1.2, python("PyTorch", "factor.py", { what })),
    )
  ),
  row(
    "scale",
    "QLoRA step of a 7B shape at 1x128 tokens, of that of a 1.1B shape, which has 6.39 times fewer operations",
    3,
    ours("native", "step.ts", { model: "llama-7b", weights: "nf4_double" }, "Llama 7B"),
    atMost(
      6.39 / 0.8,
      ours("native", "step.ts", { model: "llama-1b", weights: "nf4_double" }, "TinyLlama 1.1B"),
    ),
  ),
  ...generationOn("native"),
];
