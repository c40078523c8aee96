/**
 * 64 tokens, one after another, after a prompt of 16, from a SmolLM2-135M-shaped model with random weights,
 * or from the GGUF file that `gguf` names. Arguments: {backend, threads, gguf}.
 */
import { generateIds, loadModel } from "../../mod.ts";
import { freshModel } from "../../models/mod.ts";
import { openBackend } from "./open.ts";
import { servePeer, VERSIONS } from "./serve.ts";
import { SMOLLM2 } from "./smollm2.ts";

const { backend: where, threads = 2, gguf } = JSON.parse(Deno.args[0] ?? "{}");
const backend = await openBackend({ backend: where, threads });
if (gguf === "") throw new Error("BENCH_GGUF does not name a GGUF file of SmolLM2-135M");
const model = gguf === undefined
  ? freshModel(SMOLLM2, { backend, key: 0 })
  : await loadModel(gguf, { backend });
const prompt = Array.from({ length: 16 }, (_, t) => (t * 997 + 13) % 49152);
await servePeer(VERSIONS, async () => {
  await generateIds(model, prompt, { maxNewTokens: 64, eos: [] });
});
