/** Combinators: names, narrowing, and every member of a method that a composition passes on. */
import assert from "node:assert/strict";
import {
  adapt,
  at,
  compose,
  dispose,
  keep,
  layers,
  leaves,
  lookup,
  merge,
  type Method,
  type Model,
  read,
  scaled,
  scope,
  type Tensor,
  tensor,
  type Tree,
  weightLeaves,
} from "../../../core/mod.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import {
  adamix,
  diffPruning,
  fishMask,
  fullFineTune,
  ia3,
  lora,
  ltSft,
  only,
  pfeiffer,
  prefixTuning,
  type SparseMask,
} from "../../../methods/mod.ts";
import { add, multiply, sum, zeros } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

const onTiny = (f: (model: Model) => unknown): Promise<void> =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    await f(model);
    model.dispose();
  });

/** A method of one number that uses every optional member. */
const busy = (by: number): Method => ({
  name: "busy",
  config: { by },
  init: ({ model }) => ({ x: tensor([1], { backend: model.backend }) }),
  edits: () => [],
  penalty: ({ x }) => multiply(sum(x as Tensor), by),
  project: ({ x }) => ({ x: add(x as Tensor, by) }),
  rates: () => (path) => path === "x" ? by : -1,
  adjust: ({ params, gradients, state, step }) =>
    Promise.resolve(scope(() => ({
      params: { x: add(params["x"] as Tensor, gradients["x"] as Tensor) },
      state: { seen: add((state["seen"] ?? 0) as Tensor, step * by) },
    }))),
});

Deno.test("compose() names parts in parameters and name, and keeps their options with them", () =>
  onTiny((model) => {
    const both = compose({ a: lora({ rank: 1 }), b: ia3() });
    assert.equal(both.name, "compose(a, b)");
    assert.deepEqual(Object.keys(both.components!), ["a", "b"]);
    assert.deepEqual(both.config, {});
    const { params } = adapt(model, both);
    assert.ok(leaves(params).every(([path]) => path.startsWith("a.") || path.startsWith("b.")));
    dispose(params);
  }));

Deno.test("compose() gives two parts of one method different keys", () =>
  onTiny(async (model) => {
    const { params } = adapt(model, compose({ a: lora({ rank: 1 }), b: lora({ rank: 1 }) }));
    const path = "model.layers.0.self_attn.q_proj.a";
    const found = new Map(leaves(params));
    assert.notDeepEqual(await read(found.get(`a.${path}`)!), await read(found.get(`b.${path}`)!));
    dispose(params);
  }));

Deno.test("compose() has only the members that a part has", () => {
  const plain = compose({ a: lora(), b: ia3() });
  for (const member of ["penalty", "project", "rates", "adjust", "finalize"] as const) {
    assert.equal(plain[member], undefined, member);
  }
});

Deno.test("compose() sums penalties and projects, rates and adjusts part by part", () =>
  onTiny(async (model) => {
    const method: Method = compose({ a: busy(2), plain: ia3(), b: busy(5) }) as Method;
    const params = keep(adapt(model, method).params);
    const x = (tree: Tree, name: string) => (tree[name] as Tree)["x"] as Tensor;

    const penalty = scope(() => method.penalty!(params.tree, model.spec));
    assert.deepEqual([...await read(penalty)], [7]);
    const projected = scope(() => [method.project!(params.tree)])[0]!;
    assert.deepEqual([(await read(x(projected, "a")))[0], (await read(x(projected, "b")))[0]], [3, 6]);
    assert.equal(projected["plain"], params.tree["plain"]);

    const rate = method.rates!({ params: params.tree, spec: model.spec, learningRate: 1 });
    assert.deepEqual([rate("a.x"), rate("b.x"), rate("plain.q.l")], [2, 5, 1]);

    const gradients = {
      a: { x: tensor([10], { backend: model.backend }) },
      b: { x: tensor([20], { backend: model.backend }) },
    };
    let state: Tree = {
      a: { seen: tensor([100], { backend: model.backend }) },
      b: { seen: tensor([0], { backend: model.backend }) },
    };
    const given = state;
    const next = await method.adjust!({ params: params.tree, gradients, state, step: 3, totalSteps: 9 });
    state = next.state;
    assert.deepEqual(
      await Promise.all(
        [x(next.params, "a"), x(next.params, "b"), (state["a"] as Tree)["seen"], (state["b"] as Tree)["seen"]]
          .map(async (
            t,
          ) => (await read(t as Tensor))[0]),
      ),
      [11, 21, 106, 15],
    );
    dispose([
      penalty,
      x(projected, "a"),
      x(projected, "b"),
      gradients,
      given,
      state,
      x(next.params, "a"),
      x(next.params, "b"),
    ]);
    params.dispose();
  }));

Deno.test("finalize() of combinators finalizes the parts that can", () =>
  onTiny((model) => {
    const prefix = prefixTuning({ length: 2, network: { hidden: 3 } });
    const method = scaled(
      compose({ p: at(layers(1), prefix), m: adamix({ reduction: 4 }), l: ia3() }) as Method,
      0.5,
    );
    const params = keep(adapt(model, method).params);
    const finalized = method.finalize!(params.tree, model.spec);
    assert.deepEqual(
      Object.fromEntries(leaves(finalized.params).map(([path, t]) => [path, t.shape])),
      {
        "p.model.layers.1.self_attn.k": [2, 2, 4],
        "p.model.layers.1.self_attn.v": [2, 2, 4],
        ...Object.fromEntries(
          [0, 1].flatMap((i) => [
            [`m.model.layers.${i}.mlp.down.weight`, [3, 12]],
            [`m.model.layers.${i}.mlp.down.bias`, [3]],
            [`m.model.layers.${i}.mlp.up.weight`, [12, 3]],
            [`m.model.layers.${i}.mlp.up.bias`, [12]],
          ]),
        ),
        ...Object.fromEntries(leaves(params.tree["l"] as Tree).map(([path, t]) => [`l.${path}`, t.shape])),
      },
    );
    dispose([finalized.params["p"], finalized.params["m"]]);
    params.dispose();
  }));

Deno.test("at() limits init, edits and counts to its places", () =>
  onTiny((model) => {
    const method = at(layers(1), compose({ a: pfeiffer({ reduction: 4 }), b: lora({ rank: 1 }) }));
    const { params } = adapt(model, method);
    assert.ok(leaves(params).every(([path]) => path.includes("layers.1.")));
    assert.ok(method.edits(params, model.spec).every((edit) => edit.path.includes("layers.1.")));
    assert.equal(method.edits(params, model.spec).length, 3);
    assert.throws(
      () => adapt(model, at(layers(7), pfeiffer())),
      /^RangeError: Cannot place pfeiffer: the model offers no/,
    );
    dispose(params);
  }));

Deno.test("scaled() refuses a factor that is no number", () => {
  assert.throws(
    () => scaled(lora(), NaN),
    /^RangeError: Expected factor to be a finite number but found NaN/,
  );
});

Deno.test("adapt() names the options that make more parameters than there is memory", () =>
  onTiny((model) => {
    const wide: Method = {
      name: "wide",
      config: { width: 1e9 },
      init: ({ model }) => ({ wide: zeros([1e9, 1e9], model.backend) }),
      edits: () => [],
    };
    assert.throws(
      () => adapt(model, wide),
      /Cannot make the parameters of wide \{"width":1000000000\}: Cannot allocate/,
    );
  }));

/** Every third element of each weight. */
const third = ({ weights }: Model): SparseMask => ({
  leaves: weightLeaves(weights).map(([path, { shape, size }]) => ({
    path,
    shape,
    indices: Int32Array.from({ length: Math.ceil(size / 3) }, (_, i) => 3 * i),
  })),
  whole: [],
});

Deno.test("at() limits methods that bring weights or masks of their own, fresh and trained", () =>
  onTiny((model) => {
    const mask = third(model);
    const within = (path: string): boolean => path.startsWith("model.layers.1.");
    const methods = [
      fullFineTune(),
      only({ parameters: /.*proj\.weight/ }),
      diffPruning(),
      fishMask({ mask }),
      ltSft({ mask }),
      ltSft({ mask: { ...mask, lookups: ["model.embed_tokens.weight"] } }),
    ];
    for (const whole of methods as readonly Method[]) {
      const upper = at(layers(1), whole);
      const [fresh, trained] = [adapt(model, upper), adapt(model, whole)];
      assert.ok(leaves(fresh.params).every(([path]) => within(path)), whole.name);
      for (const { params } of [fresh, trained]) {
        const merged = merge(model, { method: upper, params });
        const changed = weightLeaves(merged.weights).filter(([path, t]) => lookup(model.weights, path) !== t);
        assert.deepEqual(
          [changed.length > 0, changed.every(([path]) => within(path))],
          [true, true],
          whole.name,
        );
        merged.dispose();
      }
      dispose([fresh.params, trained.params]);
    }
    const nowhere = at(layers(7), fishMask({ mask }));
    assert.throws(
      () => adapt(model, nowhere),
      /The mask of fish-mask has no element at the places it is limited to/,
    );
  }));

Deno.test("saveAdapter() refuses a trained adapter that at() narrows, whose folder would bring the rest back", () =>
  onTiny(async (model) => {
    const folder = Deno.makeTempDirSync();
    const whole = lora({ rank: 1 }) as Method;
    const { params } = adapt(model, whole);
    for (const format of ["peft", "adapters", "graft"] as const) {
      await assert.rejects(
        saveAdapter(folder, { method: at(layers(1), whole), params }, model, { format }),
        /^RangeError: Cannot save at\(lora\), of which something narrowed the places: its parameter "model\.layers\.0\.self_attn\.q_proj\.a"/,
      );
    }
    assert.deepEqual([...Deno.readDirSync(folder)], []);
    Deno.removeSync(folder);
    dispose(params);
  }));
