/** What adapters and hybrids do in training, and what they refuse. */
import assert from "node:assert/strict";
import {
  type Adapter,
  at,
  type Batch,
  compose,
  dispose,
  fold,
  forward,
  gated,
  graft,
  type HiddenCall,
  type HiddenEdit,
  keep,
  key,
  leaves,
  lossAndGrad,
  mapTree,
  type Method,
  type Model,
  type Place,
  read,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import {
  adapterFusion,
  attentionFusion,
  centralGate,
  compacter,
  houlsby,
  invertibleAdapter,
  kronaB,
  kronaBres,
  lets,
  letsLayers,
  lora,
  loreft,
  mam,
  parallelAdapter,
  pfeiffer,
  phmAdapter,
  s4,
  sentenceGate,
  unipelt,
} from "../../methods/mod.ts";
import { freshModel } from "../../models/mod.ts";
import { add, integers, multiply, normal, ones, shapesOnly } from "../../ops/mod.ts";
import { adamw, resident } from "../../train/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { withBackend } from "../support/backends.ts";
import { tinyGpt2, tinyLlama } from "../support/tiny_models.ts";

const TEXT: Batch = {
  inputIds: [[1, 5, 3, 10, 7, 2], [2, 2, 7, 0, 4, 4]],
  labels: [[1, 5, 3, 10, 7, 2], [2, 2, 7, 0, 4, 4]],
};

/** Steps of AdamW with the method's projection; the losses before each. */
async function losses(model: Model, method: Method, steps: number, rate: number): Promise<readonly number[]> {
  const root = keep<Tree>(method.init({ model, key: 0 }));
  const moments = resident(adamw(), root.tree);
  const seen: number[] = [];
  for (let step = 1; step <= steps; step++) {
    const { loss, grads } = await lossAndGrad(model, { method, params: root.tree }, TEXT, {
      train: true,
      key: step,
    });
    seen.push(loss);
    const next = await moments.apply(root.tree, grads, { learningRate: rate, step });
    root.replace(next);
    if (method.project) {
      root.replace(scope((): Synchronous<Tree> => method.project!(root.tree) as Synchronous<Tree>));
    }
    dispose(grads);
  }
  root.dispose();
  moments.dispose();
  return seen;
}

const METHODS: Readonly<Record<string, readonly [method: Method, rate: number]>> = {
  houlsby: [houlsby({ reduction: 2 }), 0.02],
  parallelAdapter: [parallelAdapter(), 0.02],
  phmAdapter: [phmAdapter({ reduction: 2, dimension: 2 }), 0.02],
  compacter: [compacter({ reduction: 3 }), 0.05],
  kronaB: [kronaB(), 0.02],
  kronaBres: [kronaBres(), 0.02],
  mam: [mam({ prefix: { length: 2, network: { hidden: 4 } } }), 0.02],
  unipelt: [
    unipelt({ prefix: { length: 2, network: { hidden: 4 } }, lora: { rank: 2 }, adapter: { reduction: 4 } }),
    0.02,
  ],
  loreft: [loreft({ rank: 4, first: 2, last: 2 }), 0.02],
  invertibleAdapter: [invertibleAdapter(), 0.02],
  s4: [s4({ budget: 900, groups: [1, 1], parts: [["adapter", "lora"], ["prefix", "bitfit", "lora"]] }), 0.02],
  attentionFusion: [attentionFusion(), 0.1],
  lets: [lets({ pool: "each" }), 0.02],
};
for (const [name, [method, rate]] of Object.entries(METHODS)) {
  Deno.test(`${name}() lowers the loss in ten steps`, () =>
    withBackend("wasm", (backend) =>
      assertNoLeak(async () => {
        const model = tinyLlama(backend, 5);
        const seen = await losses(model, method, 10, rate);
        assert.ok(seen.at(-1)! < 0.97 * seen[0]!, seen.join(", "));
        model.dispose();
      })));
}

Deno.test("loreft() keeps orthonormal rows through training, and with free rows does not", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 6);
      for (const rows of ["orthonormal", "free"] as const) {
        const method = loreft({ rank: 3, first: 2, last: 2, rows });
        const params = keep(method.init({ model, key: 0 }));
        const moved = keep(scope((): Synchronous<Tree> => {
          const noisy = mapTree(params.tree, (t, path) =>
            add(t, normal(fold(key(1), path), t.shape, backend, 0.3)));
          return (method.project?.(noisy) ?? noisy) as Synchronous<Tree>;
        }));
        const rotations = leaves(moved.tree).filter(([path]) =>
          path.endsWith("rotation")
        );
        for (const [path, t] of rotations) {
          const r = await read(t);
          const dot = (i: number, j: number): number =>
            Array.from({ length: 12 }, (_, k) => r[12 * i + k]! * r[12 * j + k]!).reduce((a, b) => a + b);
          const gram = [0, 1, 2].flatMap((i) => [0, 1, 2].map((j) => dot(i, j)));
          if (rows === "orthonormal") assertClose(gram, [1, 0, 0, 0, 1, 0, 0, 0, 1], 1e-6, path);
          else assert.ok(Math.abs(gram[1]!) > 1e-3);
        }
        dispose(moved.tree);
        moved.dispose();
        params.dispose();
      }
      model.dispose();
    })));

/** An adapter with noise on all of its parameters. */
function noisy(
  model: Model,
  method: Method,
  deviation = 0.3,
): { readonly adapter: Adapter; dispose(): void } {
  const fresh = keep(method.init({ model, key: 1 }));
  const root = keep(
    scope((): Synchronous<Tree> =>
      mapTree(fresh.tree, (t, path) => add(t, normal(fold(key(2), path), t.shape, t.backend, deviation)))
    ),
  );
  return {
    adapter: { method, params: root.tree },
    dispose: () => {
      root.dispose();
      fresh.dispose();
    },
  };
}

Deno.test("loreft() edits the prompt alone: in training up to the first label, in a continued text nothing", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 7);
      const { adapter, dispose: free } = noisy(model, loreft({ rank: 2, first: 1, last: 1, ends: "apart" }));
      const tuned = graft(model, adapter);
      const [prompt, answer] = [[3, 1, 4, 1], [5, 9]];
      const logits = async (model: Model, batch: Batch): Promise<Float32Array> => {
        const { logits } = forward(model, batch);
        const numbers = await read(logits);
        dispose(logits);
        return numbers;
      };
      const alone = await logits(tuned, { inputIds: [prompt] });
      const whole = await logits(tuned, { inputIds: [[...prompt, ...answer]] });
      const labelled = await logits(tuned, {
        inputIds: [[...prompt, ...answer]],
        labels: [[-100, -100, -100, -100, ...answer]],
      });
      const first = alone.length;
      assertClose(labelled.subarray(0, first), alone, 1e-6, "the prompt's logits");
      assert.notDeepEqual(whole.subarray(0, first), alone); // there the last token is another
      const begun = forward(tuned, { inputIds: [prompt] }, { keepCache: true });
      const next = forward(tuned, { inputIds: [answer] }, { cache: begun.cache! });
      assertClose(await read(next.logits), labelled.subarray(first), 1e-5, "the answer's logits");
      dispose([begun, next]);
      free();
      model.dispose();
    })));

Deno.test("loreft() edits no token of a text of one, and one end's tokens never meet the other's", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 8);
      const { adapter, dispose: free } = noisy(model, loreft({ rank: 2, first: 7, last: 7 }));
      const [one, base] = [
        forward(graft(model, adapter), { inputIds: [[3]] }),
        forward(model, { inputIds: [[3]] }),
      ];
      assert.deepEqual(await read(one.logits), await read(base.logits));
      dispose([one, base]);
      // Three tokens: the first and the last are edited, the middle one is not and sees only what lies before it.
      const bare = tinyLlama(backend, 8, { layers: 1 });
      const single = noisy(bare, loreft({ rank: 2, first: 7, last: 7 }));
      const [three, plain] = [
        forward(graft(bare, single.adapter), { inputIds: [[3, 1, 4]] }),
        forward(bare, { inputIds: [[3, 1, 4]] }),
      ];
      const [a, b] = [await read(three.logits), await read(plain.logits)];
      const v = a.length / 3;
      assert.deepEqual(a.subarray(v, 2 * v), b.subarray(v, 2 * v));
      for (const i of [0, 2]) {
        assert.notDeepEqual(a.subarray(i * v, (i + 1) * v), b.subarray(i * v, (i + 1) * v));
      }
      dispose([three, plain]);
      single.dispose();
      bare.dispose();
      free();
      model.dispose();
    })));

Deno.test("with U and its bias at zero every adapter leaves the model as it is", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      for (const model of [tinyLlama(backend, 9), tinyGpt2(backend, 9)]) {
        const base = forward(model, TEXT).logits;
        for (
          const method of [
            houlsby({ reduction: 4, deviation: 0.5 }),
            pfeiffer({ reduction: 4 }),
            phmAdapter({ reduction: 3, dimension: 2 }),
            compacter({ reduction: 3 }),
          ]
        ) {
          const { adapter, dispose: free } = noisy(model, method);
          const params = scope((): Synchronous<Tree> =>
            mapTree(adapter.params, (t, path) => multiply(t, /\.up\./.test(path) ? 0 : 1))
          );
          const logits = forward(graft(model, { method, params }), TEXT).logits;
          assertClose(await read(logits), await read(base), 1e-6, method.name);
          dispose([logits, params]);
          free();
        }
        dispose(base);
        model.dispose();
      }
    })));

Deno.test("at the first step a parallel adapter's U moves and D does not, KronA_B's zero factor moves and the other does not", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 10);
      const cases = [[parallelAdapter({ reduction: 4 }), /down/], [kronaB(), /\.a$/], [
        kronaBres({ zero: "a" }),
        /\.b$/,
      ]] as const;
      for (const [method, still] of cases) {
        const params = keep(method.init({ model, key: 0 }));
        const { grads } = await lossAndGrad(model, { method, params: params.tree }, TEXT);
        for (const [path, g] of leaves(grads)) {
          const moves = (await read(g)).some((x) => x !== 0);
          assert.equal(moves, !still.test(path), `${method.name} ${path}`);
        }
        dispose(grads);
        params.dispose();
      }
      model.dispose();
    })));

Deno.test("compacter() has one rule for the whole model", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(() => {
      const model = tinyLlama(backend, 11);
      const { adapter, dispose: free } = noisy(model, compacter({ reduction: 3 }));
      const rules = leaves(adapter.params).filter(([path]) => path.endsWith("rule"));
      assert.deepEqual(rules.map(([path, t]) => [path, t.shape]), [["rule", [4, 4, 4]]]);
      free();
      model.dispose();
    })));

Deno.test("letsLayers() keeps the branches whose gates are at one half or more", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 12);
      const method = lets({ pool: "each", search: 0.1 });
      const fresh = keep(method.init({ model, key: 0 }));
      const params = keep(scope((): Synchronous<Tree> =>
        mapTree(fresh.tree, (t, path) => path === "gates.0" ? add(t, -1) : add(t, 0))
      ));
      assert.deepEqual(await letsLayers({ method, params: params.tree }), [1]);
      await assert.rejects(letsLayers({ method, params: {} }), /found no gates/);
      params.dispose();
      fresh.dispose();
      model.dispose();
    })));

Deno.test("adapterFusion() refuses adapters that stand at different places, two edits at one place and other edits", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(() => {
      const model = tinyLlama(backend, 13);
      const made = (method: Method): Adapter => ({
        method,
        params: scope((): Synchronous<Tree> => method.init({ model, key: 0 }) as Synchronous<Tree>),
      });
      const [one, two, lor] = [
        made(pfeiffer({ reduction: 4 })),
        made(houlsby({ reduction: 4 })),
        made(lora()),
      ];
      const twice = made(compose({ a: pfeiffer(), b: pfeiffer() }) as Method);
      const init = (adapters: Readonly<Record<string, Adapter>>) =>
        adapterFusion({ adapters }).init({ model, key: 0 });
      assert.throws(() => init({ one, two }), /only one of them stands at "model\.layers\.0\.self_attn"/);
      assert.throws(() => init({ one, lor }), /Cannot fuse "lor": its edit at ".*" is a linear/);
      assert.throws(() => init({ twice }), /it has two edits at one place/);
      for (const { params } of [one, two, lor, twice]) dispose(params);
      model.dispose();
    })));

Deno.test("methods refuse options out of range and models without their places", () => {
  const nowhere = { architecture: "none", linears: [], attentions: [], sublayers: [], blocks: [], norms: [] };
  const model = { spec: { ...nowhere, embeddings: [], heads: [], stacks: [] } } as unknown as Model;
  for (
    const [f, message] of [
      [() => houlsby({ reduction: 0 }), /Expected reduction to be at least 1 but found 0/],
      [
        () => houlsby().init({ model, key: 0 }),
        /Cannot place houlsby: the model offers no attention or feedForward part/,
      ],
      [() => parallelAdapter({ scale: NaN }), /Expected scale to be a finite number or "learned"/],
      [() => parallelAdapter({ dropout: 1 }), /Expected dropout from 0 up to 1/],
      [() => parallelAdapter().init({ model, key: 0 }), /Cannot place parallelAdapter/],
      [() => compacter({ dimension: 0 }), /Expected dimension to be a positive integer/],
      [() => kronaB({ scale: Infinity }), /Expected scale to be a finite number/],
      [() => kronaBres({ residual: NaN }), /Expected residual to be a finite number/],
      [() => loreft({ first: 0, last: 0 }), /Expected first or last above 0/],
      [() => loreft({ first: -1 }), /Expected first to be an integer of at least 0/],
      [() => loreft().init({ model, key: 0 }), /Cannot place loreft/],
      [() => adapterFusion({ adapters: {} }), /Expected at least one adapter to fuse/],
      [() => invertibleAdapter().init({ model, key: 0 }), /Cannot place invertibleAdapter/],
      [
        () => unipelt({ prefix: "none", lora: "none", adapter: "none" }),
        /Expected at least one part of unipelt/,
      ],
      [() => s4({ budget: 0 }), /Expected budget to be a positive integer/],
      [() => s4({ budget: 9, groups: [1] }), /Expected as many groups as lists of parts, 4/],
      [() => attentionFusion().init({ model, key: 0 }), /Cannot place attentionFusion on none/],
      [() => lets({ search: -1 }), /Expected search to be at least 0/],
    ] as const
  ) {
    assert.throws(f, (error) => error instanceof RangeError && message.test(error.message), String(f));
  }
});

Deno.test("phmAdapter() and kronaB() say which sizes do not divide", () =>
  withBackend("reference", (backend) => {
    const model = tinyLlama(backend, 14);
    assert.throws(
      () => phmAdapter({ reduction: 4, dimension: 4 }).init({ model, key: 0 }),
      /Cannot split a layer of 12 to 3 features in 4 parts: choose a dimension and a reduction/,
    );
    assert.throws(
      () => kronaB({ firstFactor: [5, 2] }).init({ model, key: 0 }),
      /Cannot split ".*mlp" \[12, 12\]/,
    );
    model.dispose();
    return Promise.resolve();
  }));

/** What an adapter's hidden edit adds to states of ones, in training under a key. */
async function added(adapter: Adapter, model: Model, at: number): Promise<readonly number[]> {
  const t = scope(() => {
    const edit = adapter.method.edits(adapter.params, model.spec)[at] as HiddenEdit;
    const y = ones([1, 4, 12], model.backend);
    const call: HiddenCall = {
      x: y,
      y,
      skip: undefined,
      norm: (t) => t,
      train: true,
      key: key(3),
      phase: "train",
      ids: integers([1, 2, 3, 4], model.backend, [1, 4]),
      mask: undefined,
      signal: () => y,
    };
    return edit.delta.run(call);
  });
  const numbers = [...await read(t)];
  dispose(t);
  return numbers;
}

Deno.test("loreft()'s dropout is on the whole edited state, and on edited tokens alone", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 16);
      const plain = noisy(model, loreft({ rank: 2, first: 1, last: 1 }));
      const params = plain.adapter.params;
      const dropping = { method: loreft({ rank: 2, first: 1, last: 1, dropout: 0.5 }), params };
      const [edit, dropped] = [await added(plain.adapter, model, 0), await added(dropping, model, 0)];
      const states = dropped.map((x) => 1 + x);
      states.forEach((h, i) => {
        const token = Math.floor(i / 12);
        if (token === 1 || token === 2) assert.equal(h, 1);
        else assert.ok(Math.abs(h) < 1e-6 || Math.abs(h - 2 * (1 + edit[i]!)) < 1e-5, `${i}: ${h}`);
      });
      const zeros = states.filter((h) => Math.abs(h) < 1e-6).length;
      assert.ok(zeros > 4 && zeros < 20, `${zeros} of 24 dropped`);
      plain.dispose();
      model.dispose();
    })));

Deno.test("parallelAdapter()'s dropout is behind the non-linearity, so U's bias is never dropped", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 17);
      const { adapter, dispose: free } = noisy(
        model,
        parallelAdapter({ reduction: 4, dropout: 0.9999, scale: 2 }),
      );
      const found = await added(adapter, model, 0);
      const bias = await read(leaves(adapter.params).find(([path]) => path.endsWith("up.bias"))![1]);
      assertClose(found, [0, 1, 2, 3].flatMap(() => [...bias].map((b) => 2 * b)), 1e-6, "what is left");
      free();
      model.dispose();
    })));

Deno.test("adapterFusion() divides its scores by the temperature: at 2 as with half the query", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 18);
      const [one, two] = [noisy(model, pfeiffer({ reduction: 4 })), noisy(model, pfeiffer({ reduction: 3 }))];
      const adapters = { one: one.adapter, two: two.adapter };
      const params = keep(adapterFusion({ adapters }).init({ model, key: 0 }));
      const logits = async (temperature: number, factor: number): Promise<Float32Array> => {
        const moved = keep(scope((): Synchronous<Tree> =>
          mapTree(params.tree, (t, path) => multiply(t, /\.query\./.test(path) ? 40 * factor : 1))
        ));
        const adapter = { method: adapterFusion({ adapters, temperature }), params: moved.tree };
        const { logits } = forward(graft(model, adapter), TEXT);
        const numbers = await read(logits);
        dispose(logits);
        moved.dispose();
        return numbers;
      };
      assertClose(await logits(2, 1), await logits(1, 0.5), 1e-6, "logits");
      assert.notDeepEqual(await logits(2, 1), await logits(1, 1));
      params.dispose();
      one.dispose();
      two.dispose();
      model.dispose();
    })));

Deno.test("s4() puts adapter and LoRA in two blocks, adapter and prefix in four, with biases in four, prefix, biases and LoRA in two", () => {
  const model = freshModel(
    {
      model_type: "roberta",
      hidden_size: 24,
      num_hidden_layers: 12,
      num_attention_heads: 2,
      intermediate_size: 30,
      vocab_size: 11,
      max_position_embeddings: 20,
      type_vocab_size: 1,
      pad_token_id: 1,
      architectures: ["RobertaModel"],
    },
    { backend: shapesOnly(), key: 0 },
  );
  const params = s4({ budget: 12 * 1000 }).init({ model, key: 0 });
  const found = new Map<string, Set<number>>();
  for (const [path] of leaves(params)) {
    const [, group, part] = /^encoder\.(\d)\.(\w+)\./.exec(path)!;
    const layer = Number(/layer\.(\d+)/.exec(path)![1]);
    found.set(`${group} ${part}`, (found.get(`${group} ${part}`) ?? new Set()).add(layer));
  }
  assert.deepEqual(Object.fromEntries([...found].map(([at, layers]) => [at, [...layers]])), {
    "1 adapter": [0, 1],
    "1 lora": [0, 1],
    "2 adapter": [2, 3, 4, 5],
    "2 prefix": [2, 3, 4, 5],
    "3 adapter": [6, 7, 8, 9],
    "3 prefix": [6, 7, 8, 9],
    "3 bitfit": [6, 7, 8, 9],
    "4 prefix": [10, 11],
    "4 bitfit": [10, 11],
    "4 lora": [10, 11],
  });
  dispose(params);
  model.dispose();
});

Deno.test("unipelt()'s gate stands in the place of α / r, whatever the ranks", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(() => {
      const model = tinyLlama(backend, 19);
      const options = { prefix: "none", adapter: "none" } as const;
      const method = unipelt({ ...options, lora: { rank: 4, rankPattern: { v_proj: 2 } } });
      assert.deepEqual(method.config["lora"], {
        method: "gated(lora)",
        rank: 4,
        alpha: 4,
        rankPattern: { v_proj: 2 },
        alphaPattern: { v_proj: 2 },
        gate: { name: "sentenceGate" },
      });
      model.dispose();
    })));

Deno.test("fresh parameters have the papers' distributions", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 20, { width: 96, layers: 1 });
      const numbers = async (method: Method, path: RegExp): Promise<readonly number[]> => {
        const params = method.init({ model, key: 5 });
        const found: number[] = [];
        for (const [name, t] of leaves(params)) if (path.test(name)) found.push(...await read(t));
        dispose(params);
        return found;
      };
      const largest = (x: readonly number[]): number => Math.max(...x.map(Math.abs));
      const deviation = (x: readonly number[]): number =>
        Math.sqrt(x.reduce((n, v) => n + v * v, 0) / x.length);
      const near = (found: number, wanted: number): void =>
        assert.ok(Math.abs(found / wanted - 1) < 0.15, `expected about ${wanted} but found ${found}`);

      const cut = await numbers(houlsby({ reduction: 4 }), /weight/); // normal, cut at two deviations
      assert.ok(largest(cut) <= 2e-3 && largest(cut) > 1.9e-3);
      near(deviation(cut), 0.88e-3);
      near(deviation(await numbers(phmAdapter({ reduction: 4 }), /rule/)), 0.01);
      near(deviation(await numbers(compacter({ reduction: 4 }), /rule/)), 1e-4);
      // Glorot with gain √2: ±√2 · √(6 / (rows + columns)) of a slice; 12 terms of 8 by 2, 4 terms of 24 by 1.
      near(largest(await numbers(phmAdapter({ reduction: 4 }), /blocks/)), Math.sqrt(2 * 6 / (8 + 2)));
      near(largest(await numbers(compacter({ reduction: 4 }), /down\.left/)), Math.sqrt(2 * 6 / (24 + 1)));
      near(largest(await numbers(parallelAdapter(), /down\.weight/)), 1 / Math.sqrt(96));
      near(deviation(await numbers(invertibleAdapter(), /weight/)), 0.02);
      near(deviation(await numbers(centralGate({ a: pfeiffer(), b: houlsby() }), /^gates\..*weight/)), 0.02);
      for (
        const [method, zero] of [
          [houlsby(), /bias/],
          [parallelAdapter(), /bias|up/],
          [compacter({ reduction: 4 }), /bias/],
          [kronaB(), /\.b$|bias/],
          [kronaBres(), /residual/],
          [lets({ pool: "each" }), /deltas/],
          [attentionFusion(), /query/],
        ] as const
      ) assert.equal(largest(await numbers(method, zero)), 0, method.name);

      const trained = noisy(model, pfeiffer());
      const fusion = adapterFusion({ adapters: { a: trained.adapter } }).init({ model, key: 1 });
      const value = await read(leaves(fusion).find(([path]) => path.endsWith("value.weight"))![1]);
      assertClose([...value.subarray(0, 98)], [1, ...new Array<number>(96).fill(1e-6), 1], 1e-9, "W_v");
      dispose(fusion["fusion"]);
      trained.dispose();
      model.dispose();
    })));

Deno.test("a hybrid that no paper has is an expression: gated Compacter in the upper block, LoReFT below", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 15);
      const upper = (place: Place): boolean => place.layer === 1;
      const hybrid = compose({
        upper: at(upper, gated(compacter({ reduction: 3 }), sentenceGate())),
        lower: at((place) => !upper(place), loreft({ rank: 2, first: 1, last: 1 })),
      }) as Method;
      const seen = await losses(model, hybrid, 6, 0.05);
      assert.ok(seen.at(-1)! < seen[0]!, seen.join(", "));
      model.dispose();
    })));
