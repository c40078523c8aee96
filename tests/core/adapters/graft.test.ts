/** Grafting: shared weights, edits at their places, errors that name the place. */
import assert from "node:assert/strict";
import {
  adapt,
  allEdits,
  at,
  type Branch,
  dispose,
  type Edit,
  EDITS,
  fn,
  forward,
  graft,
  keep,
  layers,
  lookup,
  type Method,
  type Model,
  pipe,
  read,
  weightLeaves,
  withoutEdits,
} from "../../../core/mod.ts";
import { dora, fullFineTune, houlsby, ia3, lora } from "../../../methods/mod.ts";
import { full, zeros } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { tinyGpt2, tinyLlama } from "../../support/tiny_models.ts";

const onTiny = (f: (model: Model) => unknown): Promise<void> =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    await f(model);
    model.dispose();
  });

const made = (...edits: readonly Edit[]): Method => ({
  name: "made",
  config: {},
  init: () => ({}),
  edits: () => edits,
});

async function logits(model: Model): Promise<Float32Array> {
  const out = forward(model, { inputIds: [[1, 2, 3]] }).logits;
  const numbers = await read(out);
  out.storage.free();
  return numbers;
}

Deno.test("graft() shares every leaf and every untouched branch", () =>
  onTiny((model) => {
    const adapter = adapt(model, at(layers(1), lora()));
    const params = keep(adapter.params);
    const tuned = graft(model, adapter);
    assert.deepEqual(
      weightLeaves(tuned.weights).map(([, t]) => t),
      weightLeaves(model.weights).map(([, t]) => t),
    );
    assert.equal(lookup(tuned.weights, "model.layers.0"), lookup(model.weights, "model.layers.0"));
    assert.notEqual(lookup(tuned.weights, "model.layers.1"), lookup(model.weights, "model.layers.1"));
    assert.equal(allEdits(model.weights).length, 0);
    assert.equal(allEdits(tuned.weights).length, 2);
    assert.equal(allEdits(withoutEdits(tuned.weights)).length, 0);
    params.dispose();
  }));

Deno.test("graft() again puts later edits after earlier ones", () =>
  onTiny((model) => {
    const [a, b] = [adapt(model, lora({ rank: 1 })), adapt(model, ia3())];
    const roots = [keep(a.params), keep(b.params)];
    const value = lookup(graft(graft(model, a), b).weights, "model.layers.0.self_attn.v_proj") as Branch;
    assert.deepEqual(value[EDITS]!.map((e) => e.kind === "linear" && e.change.form), ["add", "scale"]);
    roots.forEach((root) => root.dispose());
  }));

Deno.test("graft() with one argument waits for the model", () =>
  onTiny(async (model) => {
    const adapter = adapt(model, lora({ rank: 1, initialization: "none" }));
    const params = keep(adapter.params);
    assert.deepEqual(await logits(pipe(model, graft(adapter))), await logits(graft(model, adapter)));
    params.dispose();
  }));

Deno.test("disposing a grafted model frees nothing of the base", () =>
  onTiny(async (model) => {
    const before = await logits(model);
    const adapter = adapt(model, fullFineTune());
    graft(model, adapter).dispose();
    assert.deepEqual(await logits(model), before);
    keep(adapter.params).dispose();
  }));

Deno.test("graft() names a place that the model does not have", () =>
  onTiny((model) => {
    const bias = zeros([1], model.backend);
    const edits: readonly Edit[] = [
      { kind: "linear", path: "model.layers.9.mlp", change: { form: "bias", bias } },
      { kind: "linear", path: "model.norm.weight", change: { form: "bias", bias } },
      { kind: "weight", path: "model.norm", map: fn({ bias }, ({ bias }) => bias) },
      { kind: "weight", path: "model.norm.bias", map: fn({ bias }, ({ bias }) => bias) },
    ];
    for (const edit of edits) {
      assert.throws(() => graft(model, { method: made(edit), params: {} }), {
        name: "RangeError",
        message: `Cannot graft made: the model has no ${edit.kind} place "${edit.path}"`,
      });
    }
    bias.storage.free();
  }));

Deno.test("a signal that nobody computes, or that two compute, is an error", () =>
  onTiny((model) => {
    const delta: Edit = {
      kind: "linear",
      path: "model.layers.0.mlp.up_proj",
      change: { form: "delta", reads: "input", delta: fn({}, (_, call) => call.signal("gate")) },
    };
    const prepass: Edit = {
      kind: "prepass",
      path: "model",
      name: "gate",
      run: fn({}, (_, call) => full([1], 1, call.states.backend)),
    };
    const run = (...edits: readonly Edit[]) => logits(graft(model, { method: made(...edits), params: {} }));
    return Promise.all([
      assert.rejects(() => run(delta), /^RangeError: No edit computed the signal "gate" before it was read/),
      assert.rejects(() => run(prepass, prepass, delta), /^RangeError: Two edits compute the signal "gate"/),
    ]);
  }));

Deno.test("a side network that taps a block too far says how many there are", () =>
  onTiny((model) =>
    assert.rejects(
      () =>
        logits(graft(model, {
          method: made({
            kind: "side",
            path: "model",
            stack: "decoder",
            run: fn({}, (_, call) => call.tap(7)),
          }),
          params: {},
        })),
      { message: "Cannot tap block 7: the stack has 2" },
    )
  ));

Deno.test("graft() names what an adapter of another model lacks", () =>
  onTiny((model) => {
    const other = tinyGpt2(model.backend, 1);
    const methods = { lora: lora(), dora: dora(), ia3: ia3(), houlsby: houlsby({ reduction: 4 }) };
    for (const [name, method] of Object.entries(methods)) {
      const adapter = adapt(other, method);
      assert.throws(
        () => graft(model, adapter),
        /^RangeError: Cannot graft the adapter: it has no parameters for "model\.layers\.0\.[a-z_.]+", so it was made/,
        name,
      );
      dispose(adapter.params);
    }
    other.dispose();
  }));
