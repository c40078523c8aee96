/** Whether PiSSA and OLoRA reach a loss in fewer steps than LoRA. */
import { dispose } from "../core/mod.ts";
import { lora, olora, pissa } from "../methods/mod.ts";
import { type Claim, verdictOf } from "./claim.ts";

/** Means over windows of five steps: single steps differ by their rows. */
const smooth = (losses: readonly number[]): readonly number[] =>
  losses.map((_, i) => {
    const window = losses.slice(Math.max(0, i - 4), i + 1);
    return window.reduce((a, b) => a + b, 0) / window.length;
  });

export const claim: Claim = {
  title: "PiSSA and OLoRA converge faster than LoRA",
  check: async (lab) => {
    const options = { rank: 8, targets: "all-linear" } as const;
    const rate = 4e-3;
    const plain = await lab.run(lora(options), { rate });
    dispose(plain.adapter.params);
    const target = smooth(plain.losses).at(-1)!;
    const stepsOf = (losses: readonly number[]): number =>
      smooth(losses).findIndex((loss) => loss <= target) + 1;
    const found: Record<string, number> = { LoRA: stepsOf(plain.losses) };
    const rest: Record<string, number> = { LoRA: plain.heldOut };
    for (const [name, prepare] of [["PiSSA", pissa], ["OLoRA", olora]] as const) {
      const prepared = await prepare(lab.shop.model, options);
      const start = { ...prepared.adapter.method, init: () => prepared.adapter.params };
      const run = await lab.run(start, { rate, model: prepared.model });
      found[name] = stepsOf(run.losses);
      rest[name] = run.heldOut;
      dispose(run.adapter.params);
      prepared.dispose();
    }
    const said = (name: string): string =>
      `${name} ${found[name] === 0 ? `not in ${lab.steps}` : found[name]} (then ${rest[name]!.toFixed(3)})`;
    return {
      article: "both converge faster (curves, no figure)",
      ours: `steps to a loss of ${target.toFixed(2)}, and held-out loss after ${lab.steps}: ` +
        Object.keys(found).map(said).join(", "),
      verdict: verdictOf(
        ["PiSSA", "OLoRA"].every((name) => found[name]! > 0 && found[name]! < found["LoRA"]!),
      ),
      note: "one rate for all three; one small model",
    };
  },
};
