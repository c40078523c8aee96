/**
 * Poly in PEFT folders: `poly_lora_A` [Q, S, in/Q, r], `poly_lora_B` [Q, S, r, out/Q] and the router's logits
 * [T, Q S] below the layer's path. PEFT numbers its tasks: ours are named "0", "1" and so on.
 */
import { flagField, numberField, type PeftCodec, wrong } from "../peft/codec.ts";
import { peftLayer, withDefaults } from "../peft/layers.ts";
import { poly, type PolyOptions, polyShapes } from "./poly.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Codec of `peft_type` "POLY".
 *
 * @example
 * ```ts
 * import { polyPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.deepEqual(polyPeft.read({ ...polyPeft.fields, n_tasks: 2 }).tasks, ["0", "1"]);
 * ```
 */
export const polyPeft: PeftCodec<PolyOptions> = {
  type: "POLY",
  fields: {
    exclude_modules: null,
    modules_to_save: null,
    r: 8,
    init_weights: true,
    poly_type: "poly",
    n_tasks: 1,
    n_skills: 4,
    n_splits: 1,
  },
  refused: {},
  read: (fields) => {
    if (fields["poly_type"] !== "poly") return wrong("poly_type", '"poly"', fields["poly_type"]);
    return {
      rank: numberField(fields, "r"),
      skills: numberField(fields, "n_skills"),
      pieces: numberField(fields, "n_splits"),
      tasks: Array.from({ length: numberField(fields, "n_tasks") }, (_, i) => `${i}`),
      initialization: flagField(fields, "init_weights") ? "default" : "none",
    };
  },
  write: (given) => {
    const { rank, skills, pieces, tasks, task, initialization } = withDefaults(poly, given);
    if (task !== undefined && tasks.length > 1) {
      throw rangeError(
        "CANNOT_SAVE",
        `Cannot save the task "${task}" of ${tasks.length} for PEFT, where each batch names its tasks: save all, or merge it`,
      );
    }
    return {
      r: rank,
      n_skills: skills,
      n_splits: pieces,
      n_tasks: tasks.length,
      init_weights: initialization !== "none",
    };
  },
  method: poly,
  tensors: (places, options) =>
    places.flatMap((place) => {
      const { path } = peftLayer("Poly", place, "without Conv1D");
      const { a, b, logits } = polyShapes(place, options);
      return [
        { path: `${path}.a`, key: `${path}.poly_lora_A`, shape: a },
        { path: `${path}.b`, key: `${path}.poly_lora_B`, shape: b },
        { path: `${path}.logits`, key: `${path}.poly_router.module_logits`, shape: logits },
      ];
    }),
};
