/** KronA against Compacter at inference. */
import { adapt, dispose, forward, graft, merge, methodCosts, type Model, read } from "../core/mod.ts";
import { compacter, krona } from "../methods/mod.ts";
import { type Claim, percent, verdictOf } from "./claim.ts";

/** Median seconds of a pass over 64 tokens. */
async function secondsOf(models: readonly Model[], passes: number): Promise<readonly number[]> {
  const inputIds = [Array.from({ length: 64 }, (_, i) => 5 + i)];
  const times = models.map((): number[] => []);
  for (let n = 0; n < passes; n++) {
    for (const [i, model] of models.entries()) { // in turn, so that a busy moment meets both
      const before = performance.now();
      const { logits } = forward(model, { inputIds });
      await read(logits);
      times[i]!.push((performance.now() - before) / 1000);
      logits.storage.free();
    }
  }
  return times.map((all) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)]!);
}

export const claim: Claim = {
  title: "KronA is faster at inference than Compacter",
  check: async ({ shop: { model }, steps }) => {
    const [k, c] = [adapt(model, krona()), adapt(model, compacter({ reduction: 16, dimension: 4 }))];
    const merged = merge(model, k);
    const [fast, slow, bare] = await secondsOf([merged, graft(model, c), model], Math.max(3, steps));
    const [ours, theirs] = [methodCosts(model, krona()), methodCosts(model, c.method)];
    merged.dispose();
    dispose([k.params, c.params]);
    const extra = theirs.multiplyAdds.extra / theirs.multiplyAdds.base;
    return {
      article: "faster than adapter-based methods like Compacter (no figure)",
      ours:
        `KronA ${ours.merges ? "merges, and then takes" : "takes"} ${
          (fast! / bare!).toFixed(2)
        } of the model's time, ` +
        `Compacter ${(slow! / bare!).toFixed(2)} for ${percent(extra, 2)} more multiply-adds`,
      verdict: verdictOf(ours.merges && fast! < slow!),
      note: "because it merges, not because its product is cheap",
    };
  },
};
