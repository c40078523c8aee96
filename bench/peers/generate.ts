/** 64 tokens, one after another, from a SmolLM2-135M-shaped model behind a prompt of 16. Arguments: {backend, threads, weights}. */
import { generateIds, quantize } from "../../mod.ts";
import { freshModel } from "../../models/mod.ts";
import { openBackend } from "./open.ts";
import { servePeer, VERSIONS } from "./serve.ts";
import { SMOLLM2 } from "./smollm2.ts";

const { backend: where, threads = 2, weights = "f32" } = JSON.parse(Deno.args[0] ?? "{}");
const backend = await openBackend({ backend: where, threads });
const base = freshModel(SMOLLM2, { backend, key: 0 });
const model = weights === "f32" ? base : quantize(base, { dtype: weights });
const prompt = Array.from({ length: 16 }, (_, t) => (t * 997 + 13) % 49152);
await servePeer(VERSIONS, async () => {
  await generateIds(model, prompt, { maxNewTokens: 64, eos: [] });
});
