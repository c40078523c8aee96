/** NF4: quantizing and dequantizing a matrix [2048, 2048] against bitsandbytes, products against f32 ones. */
import { atMost, ours, type Own, python, type Row, rowOn } from "../row.ts";

const common = { repetitions: 9, warmUp: 3 };
const batch = { threads: 2, m: 128, n: 2048, k: 2048, times: 10 };
/** 17 matrices of 16 MiB in f32: too large for any cache. */
const single = { threads: 2, m: 1, n: 2048, k: 2048, weights: 17, times: 4 };

/** The rows on a backend. */
export const quantisedOn = (backend: Own): readonly Row[] =>
  [
    {
      name: "nf4-decode",
      what: "NF4 [2048, 2048] to f32, two threads",
      peers: [
        ours(backend, "quantise.ts", { what: "decode" }),
        atMost(0.25, python("bitsandbytes", "quantise.py", { what: "decode" })),
      ],
    },
    {
      name: "nf4-quantise",
      what: "f32 [2048, 2048] to NF4, two threads",
      peers: [
        ours(backend, "quantise.ts", { what: "encode" }),
        atMost(0.1, python("bitsandbytes", "quantise.py", { what: "encode" })),
      ],
    },
    {
      name: "nf4-product",
      what: "[128, 2048] by NF4 [2048, 2048], two threads",
      peers: [
        ours(backend, "product.ts", { ...batch, dtype: "nf4" }, "NF4"),
        atMost(1.1, ours(backend, "product.ts", batch, "f32")),
      ],
    },
    {
      name: "nf4-product-1",
      what: "[1, 2048] by 17 NF4 matrices [2048, 2048] in turn, two threads",
      peers: [
        ours(backend, "product.ts", { ...single, dtype: "nf4" }, "NF4"),
        atMost(1 / 3, ours(backend, "product.ts", single, "f32")),
        ours(
          backend,
          "product.ts",
          { ...single, dtype: "nf4", same: true },
          "NF4, one matrix that stays in the cache",
        ),
      ],
    },
  ].map((row) => rowOn(backend, { ...common, ...row }));
