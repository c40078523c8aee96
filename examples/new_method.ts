/**
 * A new method in fifteen lines: an update of rank one, y = W x + b + u (v · x), on the output layers of feed-forward parts.
 * Merging, counts and files follow from its definition.
 *
 *   deno run --allow-read --allow-write examples/new_method.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import {
  adapt,
  count,
  type DefinedMethod,
  defineLinear,
  freshModel,
  initial,
  loadAdapter,
  lossAndGrad,
  lowRank,
  reference,
  saveAdapter,
  smallConfig,
  type TargetOptions,
} from "@graft/peft";
import { methodCosts } from "@graft/peft/core";

export const rankOne: DefinedMethod<TargetOptions> = defineLinear<TargetOptions>({
  name: "rank-one",
  summary: "Adds the product of two trained vectors to each weight.",
  options: {},
  params: ({ inFeatures, outFeatures }) => ({
    v: initial.normal([1, inFeatures], 0.1),
    u: initial.zeros([outFeatures, 1]),
  }),
  map: ({ v, u }) => lowRank(v!, u!, 1),
  cli: { rate: 1e-3, flags: ["targets"] },
});

const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
const adapter = adapt(model, rankOne({ targets: ["down_proj"] }), 1);
const inputIds = [[5, 6, 7, 8, 9]];
const { loss, grads } = await lossAndGrad(model, adapter, { inputIds, labels: inputIds });
const { trainable } = count(model, adapter);
console.log(`loss ${loss.toFixed(3)}, ${trainable} parameters, gradients of`, Object.keys(grads));
console.log("and it merges, though nobody wrote how:", methodCosts(model, rankOne()).merges);

const folder = mkdtempSync("rank-one-");
await saveAdapter(folder, adapter, model, { format: "graft", methods: [rankOne] });
const again = await loadAdapter(folder, model, { methods: [rankOne] });
console.log("and it is saved and loaded:", again.method.name);
rmSync(folder, { recursive: true });
