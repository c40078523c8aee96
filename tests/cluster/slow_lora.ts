/** LoRA whose steps last at least as many milliseconds as the variable SLOW says: the same numbers in more time. */
import process from "node:process";
import { number, option } from "../../core/options/mod.ts";
import { type DefinedMethod, defineMethod, lora } from "../../mod.ts";

const least = Number(process.env["SLOW"] ?? 0);

/** See the module's comment. */
export const slowLora: DefinedMethod<{ readonly rank?: number }> = defineMethod<{ readonly rank?: number }>({
  name: "slow-lora",
  summary: "Is LoRA, in more time.",
  options: { rank: option(number, "of the update", 2) },
  create: (options) => ({
    ...lora(options),
    project: (params) => {
      if (least > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, least);
      return params;
    },
  }),
  cli: { rate: 1e-2, flags: ["rank"] },
});
