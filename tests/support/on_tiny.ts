/** Logits of two tiny models under methods of several parts, for laws of combinators. */
import { graft, key, type Method, type Model, type Tree } from "../../core/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "./assert.ts";
import { logitsOf } from "./law_numbers.ts";
import { trained } from "./subject.ts";
import { tinyGpt2, tinyLlama } from "./tiny_models.ts";

/** Logits under a method. */
export type Run = (method: Method, params: Tree) => Promise<Float32Array>;

/** Tries a law on a Llama and a GPT-2, with parameters, by name, as training would leave those of the methods. */
export async function onTiny(
  methods: Readonly<Record<string, Method>>,
  law: (run: Run, params: Readonly<Record<string, Tree>>, model: Model) => Promise<void>,
): Promise<void> {
  for (const tiny of [tinyLlama, tinyGpt2]) {
    await assertNoLeak(async () => {
      const model: Model = tiny(reference(), key(5));
      const { adapters, dispose } = trained(model, methods);
      const params = Object.fromEntries(Object.entries(adapters).map(([name, { params }]) => [name, params]));
      const batch = { inputIds: [[3, 1, 4, 1, 5], [2, 7, 1, 8, 2]] };
      await law((method, params) => logitsOf(graft(model, { method, params }), batch), params, model);
      dispose();
      model.dispose();
    });
  }
}
