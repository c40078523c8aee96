/**
 * The same comparisons with the native backend, the crate compiled for this machine: against PyTorch,
 * transformers and bitsandbytes, which are native too. `deno task native` builds it.
 */
import { atMost, ours, type PeerCommand, type Row, rowOn } from "../row.ts";
import { factorsOn } from "./factors.ts";
import { generationOn } from "./generation.ts";
import { loadingOn } from "./loading.ts";
import { reparametrisedSteps } from "./own_step.ts";
import { preferencesOn } from "./preferences.ts";
import { productsOn } from "./products.ts";
import { quantisedOn } from "./quantised.ts";
import { adapterSteps, inRuntimes, loraSteps, lycorisSteps } from "./steps.ts";

const row = (name: string, what: string, repetitions: number, ...peers: readonly PeerCommand[]): Row =>
  rowOn("native", { name, what, repetitions, warmUp: repetitions > 5 ? 2 : 1, peers });

/** The rows. */
export const nativeRows: readonly Row[] = [
  ...productsOn("native"),
  ...loraSteps("native"),
  ...inRuntimes("native"),
  ...adapterSteps("native"),
  ...lycorisSteps("native"),
  ...reparametrisedSteps("native"),
  ...preferencesOn("native"),
  ...quantisedOn("native"),
  ...factorsOn("native"),
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
  loadingOn("native"),
];
