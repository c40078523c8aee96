/** The GPU backend against jax-js's on the same adapter in the same Deno: products, and the step of a LoRA layer. */
import { atMost, type Row, script } from "../row.ts";

const SHAPES = [[128, 1536, 576], [512, 576, 576], [1280, 512, 192]] as const;

const common = { repetitions: 7, warmUp: 2 };

/** Ours at most 1/1.3 of its time on products, 1/2 on a step. */
export const gpuRows: readonly Row[] = SHAPES.flatMap(([m, n, k]): readonly Row[] => {
  const shape = { m, n, k };
  return [
    {
      ...common,
      name: `gpu-product-${m}x${k}x${n}`,
      what: `f32 product [${m}, ${k}] by [${k}, ${n}] through WebGPU, ten before a wait`,
      peers: [
        script("graft gpu", "product_gpu.ts", shape),
        atMost(1 / 1.3, script("jax-js webgpu", "product_gpu_jax.ts", shape)),
      ],
    },
    {
      ...common,
      name: `gpu-lora-${m}x${k}x${n}`,
      what:
        `loss and gradients of a LoRA layer of rank 8 on [${m}, ${k}] by [${k}, ${n}] through WebGPU, ten before a wait`,
      peers: [
        script("graft gpu", "lora_gpu.ts", shape),
        atMost(1 / 2, script("jax-js webgpu", "lora_gpu_jax.ts", shape)),
      ],
    },
  ];
});
