/** Folding edits at a linear layer: the pass, the weight form, lookups and ranges say the same. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Backend,
  bareLayer,
  dense,
  fn,
  fold,
  foldLinear,
  type Key,
  key as keyOf,
  type Layer,
  type LinearChange,
  type LinearEdit,
  lowRank,
  type PassCall,
  read,
  scope,
  tableLayer,
  type Tensor,
  tensor,
} from "../../../core/mod.ts";
import { add, integers, matmul, multiply, normal, reshape, transpose } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";

const [IN, OUT] = [5, 7];
const FORMS = ["add", "bias", "scale", "input", "delta"] as const;

/** An evaluation pass that no edit here looks into. */
const passOf = (backend: Backend, more: Partial<PassCall> = {}): PassCall => ({
  train: false,
  phase: "prompt",
  ids: integers([], backend),
  mask: undefined,
  signal: () => assert.fail("no signal"),
  ...more,
});

interface Step {
  readonly form: (typeof FORMS)[number];
  readonly range: readonly [number, number] | undefined;
  readonly seed: number;
}

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({
    form: fc.constantFrom(...FORMS),
    range: fc.option(
      fc.tuple(fc.nat({ max: OUT - 1 }), fc.integer({ min: 1, max: OUT }))
        .filter(([a, b]) => a < b).map(([a, b]) => [a, b] as const),
      { nil: undefined },
    ),
    seed: fc.nat(),
  }),
  { maxLength: 4 },
);

function editOf({ form, range, seed }: Step, backend: Backend): LinearEdit {
  const out = range === undefined ? OUT : range[1] - range[0];
  const random = (name: string, ...shape: readonly number[]): Tensor =>
    normal(fold(keyOf(seed), name), shape, backend, 0.7);
  return {
    kind: "linear",
    path: "here",
    ...range && { out: range },
    change: changeOf(form, out, random, seed),
  };
}

function changeOf(
  form: Step["form"],
  out: number,
  random: (name: string, ...shape: readonly number[]) => Tensor,
  seed: number,
): LinearChange {
  switch (form) {
    case "add":
      return { form, map: lowRank(random("a", 2, IN), random("b", out, 2), 0.5) };
    case "bias":
      return { form, bias: random("bias", out), ...seed % 2 === 0 && { factor: 3 } };
    case "scale":
      return {
        form,
        ...seed % 3 !== 0 && { in: random("in", IN) },
        ...seed % 3 !== 1 && { out: random("out", out) },
        ...seed % 2 === 0 && { factor: 0.4 },
      };
    case "input":
      return { form, map: dense(random("map", IN, IN)) };
    case "delta": { // y += V x + y ⊙ g − b ⊙ g, which is W ← W + V + g ⊙ W
      const params = { v: random("v", out, IN), g: random("g", out) };
      return {
        form,
        reads: "input",
        delta: fn(params, ({ v, g }, call) => {
          const wx = call.bias === undefined ? call.y : add(call.y, multiply(call.bias, -1));
          return add(matmul(call.x, v, { transposeB: true }), multiply(wx, g));
        }),
        weight: fn(
          params,
          ({ v, g }, { weight }) => add(add(weight, v), multiply(weight, reshape(g, [-1, 1]))),
        ),
      };
    }
  }
}

const bare = (key: Key, backend: Backend, biased: boolean): Layer =>
  bareLayer(
    dense(normal(fold(key, "w"), [OUT, IN], backend)),
    biased ? normal(fold(key, "b"), [OUT], backend) : undefined,
  );

/** Reads tensors made in a scope. */
async function numbers(make: () => readonly Tensor[]): Promise<readonly Float32Array[]> {
  const made = scope(make);
  const result = await Promise.all(made.map(read));
  for (const t of made) t.storage.free();
  return result;
}

Deno.test("foldLinear() of any edits equals its own weight and bias", () =>
  fc.assert(
    fc.asyncProperty(steps, fc.nat(), fc.boolean(), (steps, seed, biased) =>
      assertNoLeak(async () => {
        const backend = reference();
        const [applied, product] = await numbers(() => {
          const edits = steps.map((step) => editOf(step, backend));
          const layer = edits.reduce(
            (l, edit) => foldLinear(l, edit, passOf(backend)),
            bare(keyOf(seed), backend, biased),
          );
          const merged = edits.reduce(
            (l, edit) => foldLinear(l, edit, undefined),
            bare(keyOf(seed), backend, biased),
          );
          const x = normal(fold(keyOf(seed), "x"), [2, 3, IN], backend);
          const wx = matmul(x, merged.weight(), { transposeB: true });
          const bias = merged.bias();
          return [layer.apply(x), bias === undefined ? wx : add(wx, bias)];
        });
        assertClose(applied!, product!, 1e-5); // f32 sums of up to five products of four edits
      })),
    { numRuns: 150 },
  ));

Deno.test("foldLinear() looks up in a table what the edited weight has there", () =>
  fc.assert(
    fc.asyncProperty(steps, fc.nat(), (steps, seed) =>
      assertNoLeak(async () => {
        const backend = reference();
        const [found, expected] = await numbers(() => {
          // A bias has no place in a table's matrix; every other form has.
          const edits = steps.filter((s) => s.form !== "bias").map((step) => editOf(step, backend));
          const table = normal(keyOf(seed), [IN, OUT], backend);
          const layer = edits.reduce((l, edit) => foldLinear(l, edit, passOf(backend)), tableLayer(table));
          const ids = integers([4, 0, 0, 2], backend, [2, 2]);
          const oneHot = tensor(
            [4, 0, 0, 2].map((id) => Array.from({ length: IN }, (_, i) => i === id ? 1 : 0)),
            {
              backend,
            },
          );
          return [layer.columns(ids), matmul(oneHot, transpose(layer.weight()))];
        });
        assertClose(found!, expected!, 1e-5);
      })),
    { numRuns: 100 },
  ));

Deno.test("foldLinear() folds left, and ranges leave the rest alone", () =>
  assertNoLeak(async () => {
    const backend = reference();
    // W = [[1, 2], [3, 4]], b = [1, 1], x = [1, 1]: y = [4, 8]
    const [y, edited, other] = await numbers(() => {
      const layer = bareLayer(dense(tensor([[1, 2], [3, 4]], { backend })), tensor([1, 1], { backend }));
      const x = tensor([1, 1], { backend, shape: [1, 2] });
      const scale: LinearEdit = {
        kind: "linear",
        path: "p",
        change: { form: "scale", out: tensor([10, 10], { backend }) },
      };
      const bias: LinearEdit = {
        kind: "linear",
        path: "p",
        out: [1, 2],
        change: { form: "bias", bias: tensor([5], { backend }) },
      };
      const of = (...edits: readonly LinearEdit[]): Tensor =>
        edits.reduce((l, edit) => foldLinear(l, edit, passOf(backend)), layer).apply(x);
      return [of(), of(scale, bias), of(bias, scale)];
    });
    assert.deepEqual([[...y!], [...edited!], [...other!]], [[4, 8], [40, 85], [40, 130]]);
  }));

Deno.test("foldLinear() drops inputs in training alone, by the pass's key", () =>
  assertNoLeak(async () => {
    const backend = reference();
    const [evaluated, trained, again, other] = await numbers(() => {
      const key = keyOf(1);
      const layer = bare(key, backend, false);
      const map = lowRank(
        normal(fold(key, "a"), [2, IN], backend),
        normal(fold(key, "b"), [OUT, 2], backend),
        1,
      );
      const edit: LinearEdit = { kind: "linear", path: "p", change: { form: "add", map, dropout: 0.5 } };
      const x = normal(fold(key, "x"), [4, IN], backend);
      const run = (pass: PassCall): Tensor => foldLinear(layer, edit, pass).apply(x);
      return [
        run(passOf(backend)),
        run(passOf(backend, { train: true, key })),
        run(passOf(backend, { train: true, key })),
        run(passOf(backend, { train: true, key: keyOf(2) })),
      ];
    });
    assert.deepEqual(trained, again);
    assert.notDeepEqual(trained, evaluated);
    assert.notDeepEqual(trained, other);
  }));

Deno.test("foldLinear() of a delta without a weight form refuses its weight by the edit's path", () =>
  assertNoLeak(() => {
    const backend = reference();
    scope(() => {
      const edit: LinearEdit = {
        kind: "linear",
        path: "layers.3.q_proj",
        change: { form: "delta", reads: "input", delta: fn({}, (_, call) => call.y) },
      };
      const layer = foldLinear(bare(keyOf(0), backend, false), edit, passOf(backend));
      assert.throws(() => layer.weight(), /^TypeError: Cannot merge the linear edit at "layers.3.q_proj"/);
      assert.throws(() => layer.columns(integers([0], backend)), TypeError);
      assert.throws(
        () => foldLinear(layer, edit, undefined).apply(tensor([0], { backend })),
        /needs a running pass/,
      );
      return [];
    });
  }));
