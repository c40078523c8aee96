/**
 * DoRA and a hybrid: methods combined by functions. Prints the cost of each.
 *
 *   deno run examples/hybrid.ts
 */
import { adapt, at, compose, count, dora, freshModel, layerNormTune, layers, lora } from "@graft/peft";
import { type Method, pfeiffer, reference, scaled, smallConfig } from "@graft/peft";
import { methodCosts } from "@graft/peft/core";

const config = smallConfig("llama", { width: 64, heads: 4, layers: 4, vocabulary: 256 });
const model = freshModel(config, { backend: reference(), key: 0 });
const places = { rank: 4, targets: ["q_proj", "v_proj"] };

const methods: Readonly<Record<string, Method>> = {
  "LoRA": lora(places),
  "DoRA": dora(places),
  "DoRA below, adapters above": compose({
    lower: at(layers(0, 2), dora(places)),
    upper: at(layers(2), pfeiffer({ reduction: 8 })),
  }),
  "half of a LoRA, and norms": compose({ half: scaled(lora(places), 0.5), norms: layerNormTune() }),
};
for (const [name, method] of Object.entries(methods)) {
  const adapter = adapt(model, method);
  const { trainable, base } = count(model, adapter);
  const share = (100 * trainable / base).toFixed(2);
  const after = methodCosts(model, method).merges ? "merges" : "stays beside";
  console.log(`${name}: ${trainable} of ${base} (${share} %), ${after}`);
}
