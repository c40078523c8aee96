/**
 * Preference tuning against supervised fine-tuning on the same texts: two pairs of 128 tokens, 64 of them the answer's. DPO computes its
 * reference in each step, or before the first one, as `graft finetune` does. Times are the CPU's.
 */
import { atMost, ours, type Own, type Row, rowOn } from "../row.ts";

/** The rows on a backend. */
export const preferencesOn = (backend: Own): readonly Row[] => {
  const step = (objective: string, name: string) => ours(backend, "preference_step.ts", { objective }, name);
  const row = (name: string, objective: string, what: string, time: number): Row =>
    rowOn(backend, {
      name,
      what: `${what}, SmolLM2-135M, 2 pairs of 128 tokens, CPU time of the step of SFT on the same texts`,
      repetitions: 5,
      warmUp: 1,
      peers: [step(objective, "DPO"), atMost(time, step("sft", "SFT"), 1.1)],
    });
  return [
    row("dpo-step", "dpo", "DPO step with its reference", 1.55),
    row("dpo-step-cached", "dpo-cached", "DPO step whose reference is known", 1.1),
  ];
};
