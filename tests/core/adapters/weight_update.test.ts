/** Weight updates: what layers' matrices differ by, for edits of part of a layer and for edits that are no matrix's. */
import assert from "node:assert/strict";
import {
  adapt,
  dispose,
  type Edit,
  lowRank,
  matrixAt,
  merge,
  type Method,
  type Model,
  nest,
  read,
  type Tensor,
  tensor,
  type Tree,
  weightUpdates,
} from "../../../core/mod.ts";
import { glora } from "../../../methods/mod.ts";
import { multiply } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { goldenBase } from "../../support/golden_method.ts";
import { tinyGpt2 } from "../../support/tiny_models.ts";

const PATH = "model.layers.0.self_attn.v_proj"; // [12, 24]
const backend = reference();

function method(edits: (params: Tree) => readonly Edit[]): Method {
  return { name: "test", config: {}, init: () => ({}), edits };
}

const a = tensor(Array.from({ length: 24 }, (_, i) => Math.sin(i)), { backend, shape: [1, 24] });
const b = tensor([[1], [2], [-3]], { backend });
const params = nest([["a", a], ["b", b]]) as Tree;
const ranged = (params: Tree): Edit => ({
  kind: "linear",
  path: PATH,
  out: [4, 7],
  change: { form: "add", map: lowRank(params["a"] as Tensor, params["b"] as Tensor, 2) },
});

async function difference(model: Model, adapter: { method: Method; params: Tree }): Promise<Float32Array> {
  const merged = merge(model, adapter);
  const place = model.spec.linears.find((place) => place.path === PATH)!;
  const [after, before] = [await read(matrixAt(merged, place)), await read(matrixAt(model, place))];
  merged.dispose();
  return after.map((x, i) => x - before[i]!);
}

Deno.test("weightUpdates() puts an addition to a range of outputs into the whole matrix, and into factors", async () => {
  const model = await goldenBase(backend);
  for (const edits of [[ranged], [ranged, ranged]]) {
    const adapter = { method: method((params) => edits.map((edit) => edit(params))), params };
    const [update] = weightUpdates(model, adapter);
    const matrix = update!.matrix();
    assertClose(await read(matrix), await difference(model, adapter), 1e-6);
    const factors = update!.factors!();
    assert.deepEqual([factors.a.shape, factors.b.shape], [[edits.length, 24], [12, edits.length]]);
    dispose([matrix, factors]);
  }
  model.dispose();
});

Deno.test("weightUpdates() of additions and scales at one place is the difference of the matrices", async () => {
  const model = await goldenBase(backend);
  const scale = tensor(Array.from({ length: 12 }, (_, i) => 1 + i / 10), { backend });
  const adapter = {
    method: method((params): readonly Edit[] => [
      ranged(params),
      { kind: "linear", path: PATH, change: { form: "scale", out: params["scale"] as Tensor } },
    ]),
    params: { ...params, scale },
  };
  const updates = weightUpdates(model, adapter);
  assert.equal(updates.length, 1);
  assert.equal(updates[0]!.factors, undefined);
  const matrix = updates[0]!.matrix();
  assertClose(await read(matrix), await difference(model, adapter), 1e-6);
  dispose(matrix);
  model.dispose();
});

Deno.test("weightUpdates() refuses a bias and a norm's weight", async () => {
  const model = await goldenBase(backend);
  const refused: readonly (readonly [Edit, RegExp])[] = [
    [{ kind: "linear", path: PATH, change: { form: "bias", bias: b } }, /at ".*v_proj" changes a bias/],
    [
      { kind: "weight", path: "model.norm.weight", map: { params: {}, run: ({ weight }) => weight } },
      /at "model.norm.weight" changes a weight that is no layer's matrix/,
    ],
    [
      { kind: "weight", path: "model.embed_tokens.weight", map: { params: {}, run: ({ weight }) => weight } },
      /changes an embedding and the head that is tied to it/,
    ],
  ];
  for (const [edit, message] of refused) {
    assert.throws(() => weightUpdates(model, { method: method(() => [edit]), params: {} }), {
      name: "TypeError",
      message,
    });
  }
  model.dispose();
});

Deno.test("weightUpdates() refuses a layer's own change of its bias, and GLoRA's alone where it has one", async () => {
  const model = await goldenBase(backend);
  const gpt2 = tinyGpt2(backend, 0);
  const own: Edit = {
    kind: "linear",
    path: "transformer.h.0.attn.c_attn",
    change: {
      form: "delta",
      reads: "output",
      delta: { params: {}, run: ({ y }) => multiply(y, 1) },
      weight: { params: {}, run: ({ weight }) => multiply(weight, 2) },
      bias: { params: {}, run: ({ bias }) => multiply(bias!, 2) },
    },
  };
  assert.throws(() => weightUpdates(gpt2, { method: method(() => [own]), params }), /changes the bias too/);
  const alone = { rank: 2, c: "none", d: "none", e: "none" } as const;
  for (const [on, options] of [[model, { rank: 2 }], [gpt2, alone]] as const) {
    const adapter = adapt(on, glora(options), 0);
    assert.ok(weightUpdates(on, adapter).length > 0);
    dispose(adapter.params);
  }
  const biased = adapt(gpt2, glora({ rank: 2 }), 0);
  assert.throws(() => weightUpdates(gpt2, biased), /changes the bias too/);
  dispose([biased.params]);
  gpt2.dispose();
  model.dispose();
});
