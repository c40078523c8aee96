/** Errors of quantized weights against sums taken in f64 over the numbers themselves. */
import assert from "node:assert/strict";
import {
  type DType,
  jointError,
  lookup,
  memory,
  quantizationErrors,
  quantize,
  read,
  type Tensor,
} from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import { BACKENDS, withBackend } from "../../support/backends.ts";
import { GOLDEN } from "../../support/golden.ts";

for (const name of BACKENDS) {
  Deno.test(`quantizationErrors() and jointError() are what reading both models gives, on ${name}`, () =>
    withBackend(name, async (backend) => {
      const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend });
      const before = memory(backend).live;
      for (const dtype of ["nf4", "int4", "f16"] as const) {
        const errors = await quantizationErrors(model, { dtype, embeddings: "int8" });
        assert.equal(memory(backend).live, before);
        assert.equal(errors.length, model.spec.linears.length + 1);
        const small = quantize(model, { dtype, embeddings: "int8" });
        let [all, n] = [0, 0];
        for (const error of errors) {
          const [w, quantized] = [
            await read(lookup(model.weights, error.path) as Tensor),
            await read(lookup(small.weights, error.path) as Tensor),
          ];
          const squares = w.reduce((sum, x, i) => sum + (x - quantized[i]!) ** 2, 0);
          const close = (a: number, b: number): void =>
            assert.ok(Math.abs(a / b - 1) < 1e-5, `${error.path} ${a} ${b}`);
          close(error.rms, Math.sqrt(squares / w.length));
          close(error.weightRms, Math.sqrt(w.reduce((sum, x) => sum + x * x, 0) / w.length));
          close(error.worst, Math.max(...w.map((x, i) => Math.abs(x - quantized[i]!))));
          assert.equal(error.bytes, (lookup(small.weights, error.path) as Tensor).bytes);
          assert.equal(
            error.layer,
            error.path.startsWith("model.layers.") ? Number(error.path.split(".")[2]) : undefined,
          );
          [all, n] = [all + squares, n + w.length];
        }
        const joint = jointError(errors);
        assert.equal(joint.elements, n);
        assert.ok(Math.abs(joint.rms / Math.sqrt(all / n) - 1) < 1e-5);
        assert.equal(joint.worst, Math.max(...errors.map((error) => error.worst)));
        small.dispose();
      }
      model.dispose();
    }));
}

Deno.test("quantizationErrors() of weights that have the dtype already are none", () =>
  withBackend("reference", async (backend) => {
    const model = await loadModel(`${GOLDEN}llama_lora/base`, {
      backend,
      quantize: { dtype: "int8" as DType },
    });
    for (const { rms, worst, weightRms } of await quantizationErrors(model, { dtype: "int8" })) {
      // Coding decoded numbers anew may move a scale by a rounding.
      assert.ok(rms <= 1e-6 * weightRms && worst <= 1e-5 * weightRms);
    }
    model.dispose();
  }));
