/** Conversions to LoRA and combinations, against literal sums over dense matrices in f64. */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  bitsAt,
  chooseTargets,
  dispose,
  fold,
  forward,
  graft,
  key,
  leaves,
  lookup,
  mapTree,
  memory,
  merge,
  type Model,
  read,
  scope,
  sizesOf,
  type Synchronous,
  type Tensor,
  type Tree,
  weightUpdates,
} from "../../../core/mod.ts";
import {
  adalora,
  type Combination,
  combine,
  dora,
  ia3,
  loftq,
  loha,
  lokr,
  lora,
  type LoraOptions,
  loraScale,
  olora,
  onOriginal,
  pfeiffer,
  pissa,
  toLora,
} from "../../../methods/mod.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { add, multiply, normal } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { goldenBase, goldenBatch } from "../../support/golden_method.ts";

const logitsOf = async (model: Model): Promise<Float32Array> => {
  const { logits } = forward(model, goldenBatch());
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
};

/** An adapter with noise in every parameter. */
function trained(model: Model, method: Adapter["method"], seed: number): Adapter {
  const fresh = adapt(model, method, seed);
  const params = scope((): Synchronous<Tree> =>
    mapTree(
      fresh.params,
      (t, path) => add(t, multiply(normal(fold(key(seed), path), t.shape, t.backend), 0.2)),
    )
  );
  dispose(fresh.params);
  return { ...fresh, params };
}

const OPTIONS: readonly LoraOptions[] = [
  { rank: 2, alpha: 3, targets: ["q_proj", "v_proj"] },
  { rank: 3, alpha: 1, scaling: "rankStabilized", targets: ["q_proj", "down_proj"] },
  { rank: 1, rankPattern: { q_proj: 4 }, targets: ["q_proj", "v_proj", "down_proj"] },
];
const WEIGHTS = [0.5, -1.25, 2];

/** s B A by its definition, at each layer that the adapter has. */
async function dense(
  model: Model,
  { params }: Adapter,
  options: LoraOptions,
): Promise<ReadonlyMap<string, Float64Array>> {
  const found = new Map<string, Float64Array>();
  for (const place of chooseTargets(model.spec, options)) {
    const { inFeatures: n, outFeatures: m } = sizesOf(place);
    const [a, b] = [
      await read(lookup(params, `${place.path}.a`) as Tensor),
      await read(lookup(params, `${place.path}.b`) as Tensor),
    ];
    const r = a.length / n;
    const scale = loraScale(place.path, options);
    found.set(
      place.path,
      Float64Array.from({ length: m * n }, (_, at) => {
        let sum = 0;
        for (let l = 0; l < r; l++) sum += b[Math.floor(at / n) * r + l]! * a[l * n + at % n]!;
        return scale * sum;
      }),
    );
  }
  return found;
}

const signOf = (x: number): number => Math.sign(x);

/** The definitions, entry by entry. */
function literal(
  parts: readonly Float64Array[],
  ids: readonly number[],
  path: string,
  how: Combination,
): Float64Array {
  const weights = ids.map((k) => WEIGHTS[k]!);
  const largest = (d: Float64Array, density: number): Float64Array => {
    const order = [...d.keys()].sort((i, j) => Math.abs(d[j]!) - Math.abs(d[i]!));
    const kept = new Set(order.slice(0, Math.floor(density * d.length)));
    return d.map((x, i) => kept.has(i) ? x : 0);
  };
  const sum = (from: readonly Float64Array[]): Float64Array =>
    from[0]!.map((_, i) => from.reduce((total, d, k) => total + weights[k]! * d[i]!, 0));
  const ties = (from: readonly Float64Array[], elect: "total" | "frequency"): Float64Array =>
    from[0]!.map((_, i) => {
      const votes = from.reduce((total, d) => total + (elect === "total" ? d[i]! : signOf(d[i]!)), 0);
      const agreeing = from.map((d, k) => ({ d: d[i]!, w: weights[k]! })).filter(({ d }) =>
        signOf(d) === (votes >= 0 ? 1 : -1)
      );
      return agreeing.reduce((total, { d, w }) => total + d * w, 0) / Math.max(agreeing.length, 1);
    });
  switch (how.method) {
    case "cat":
    case "linear":
    case "svd":
      return sum(parts);
    case "magnitudePrune":
      return sum(parts.map((d) => largest(d, how.density)));
    case "ties":
      return ties(parts.map((d) => largest(d, how.density)), how.elect ?? "total");
    case "dare": {
      const dropped = parts.map((d, j) => {
        const own = fold(fold(key(how.key), ids[j]!), path);
        return d.map((x, i) => (bitsAt(own, i) >>> 8) * 2 ** -24 < how.density ? x / how.density : 0);
      });
      return how.then === "ties" ? ties(dropped, how.elect ?? "total") : sum(dropped);
    }
  }
}

const COMBINATIONS: readonly Combination[] = [
  { method: "cat" },
  { method: "linear" },
  { method: "svd", limit: { rank: 9 } },
  { method: "magnitudePrune", density: 0.3 },
  { method: "ties", density: 0.4 },
  { method: "ties", density: 1, elect: "frequency" },
  { method: "dare", density: 0.6, key: 5 },
  { method: "dare", density: 0.6, then: "ties", key: 6 },
];

for (const name of ALL_BACKENDS) {
  for (const how of COMBINATIONS) {
    Deno.test(`combine() by ${JSON.stringify(how)} is the literal sum over updates (${name})`, () =>
      withBackend(name, async (backend) => {
        const model = await goldenBase(backend);
        const adapters = OPTIONS.map((options, k) => trained(model, lora(options), k + 1));
        const updates = await Promise.all(adapters.map((adapter, k) => dense(model, adapter, OPTIONS[k]!)));
        const before = memory(backend).live;
        const { adapter, error, errors } = await combine(model, adapters, WEIGHTS, how);
        assert.deepEqual(await read(leaves(adapter.params)[0]![1]), await again());
        async function again(): Promise<Float32Array> {
          const other = await combine(model, adapters, WEIGHTS, how);
          const numbers = await read(leaves(other.adapter.params)[0]![1]);
          dispose(other.adapter.params);
          return numbers;
        }
        assert.ok(error <= 1e-6);
        for (const { place, matrix } of weightUpdates(model, adapter)) {
          const ids = [0, 1, 2].filter((k) => updates[k]!.has(place.path));
          const wanted = literal(ids.map((k) => updates[k]!.get(place.path)!), ids, place.path, how);
          const found = matrix();
          assertClose(await read(found), wanted, 2e-6, place.path);
          assert.ok(errors[place.path]! <= 1e-6);
          dispose(found);
        }
        assert.equal(weightUpdates(model, adapter).length, 6);
        dispose(adapter.params);
        assert.equal(memory(backend).live, before);
        dispose(adapters.map((a) => a.params));
        model.dispose();
      }));
  }
}

Deno.test("combine() gives back a single adapter, whatever its scaling (peft#3761)", async () => {
  const model = await goldenBase(reference());
  for (const [k, options] of OPTIONS.entries()) {
    const adapter = trained(model, lora(options), k);
    const wanted = await logitsOf(graft(model, adapter));
    for (const how of [{ method: "cat" }, { method: "linear" }, { method: "ties", density: 1 }] as const) {
      const one = await combine(model, [adapter], [1], how);
      assertClose(await logitsOf(graft(model, one.adapter)), wanted, 1e-5, how.method);
      dispose(one.adapter.params);
    }
    dispose(adapter.params);
  }
  model.dispose();
});

Deno.test("combine() by svd is nearer than any other cut and says how near", async () => {
  const model = await goldenBase(reference());
  const adapters = OPTIONS.map((options, k) => trained(model, lora(options), k + 1));
  let last = Infinity;
  for (const rank of [1, 2, 4, 9]) {
    const { adapter, error } = await combine(model, adapters, WEIGHTS, { method: "svd", limit: { rank } });
    const exact = await combine(model, adapters, WEIGHTS);
    let [lost, whole] = [0, 0];
    const wanted = new Map(weightUpdates(model, exact.adapter).map((update) => [update.place.path, update]));
    for (const { place, matrix } of weightUpdates(model, adapter)) {
      const [found, all] = [matrix(), wanted.get(place.path)!.matrix()];
      const [x, y] = [await read(found), await read(all)];
      x.forEach((value, i) => lost += (value - y[i]!) ** 2);
      y.forEach((value) => whole += value ** 2);
      dispose([found, all]);
    }
    assert.ok(
      Math.abs(error - Math.sqrt(lost / whole)) < 1e-5,
      `${error} against ${Math.sqrt(lost / whole)}`,
    );
    assert.ok(error < last);
    last = error;
    dispose([adapter.params, exact.adapter.params]);
  }
  dispose(adapters.map((a) => a.params));
  model.dispose();
});

const METHODS: Readonly<Record<string, Adapter["method"]>> = {
  lora: lora({ rank: 2, targets: "all-linear" }),
  "lora on the embedding and the head": lora({ rank: 2, targets: ["embed_tokens", "lm_head"] }),
  adalora: adalora({ rank: 3, targetRank: 2 }),
  dora: dora({ rank: 2 }),
  loha: loha({ rank: 2 }),
  lokr: lokr({ rank: 2 }),
  ia3: ia3(),
};
for (const [name, method] of Object.entries(METHODS)) {
  Deno.test(`toLora() holds ${name} exactly at full rank, and within an error bound with less`, async () => {
    const model = await goldenBase(reference());
    const adapter = trained(model, method, 3);
    const wanted = await logitsOf(graft(model, adapter));
    const before = memory(model.backend).live;
    const full = await toLora(model, adapter, { rank: 64 });
    assertClose(await logitsOf(graft(model, full.adapter)), wanted, 1e-5, "full rank");
    assert.ok(full.error < 1e-6);
    const near = await toLora(model, adapter, { error: 0.75 });
    for (const [path, error] of Object.entries(near.errors)) assert.ok(error <= 0.75, `${path}: ${error}`);
    const size = ({ adapter }: { adapter: Adapter }) =>
      leaves(adapter.params).reduce((n, [, t]) => n + t.size, 0);
    assert.ok(size(near) < size(full));
    const one = await toLora(model, adapter, { rank: 1 });
    assert.ok(one.error > near.error || size(one) >= size(near));
    dispose([full.adapter.params, near.adapter.params, one.adapter.params]);
    assert.equal(memory(model.backend).live, before);
    dispose(adapter.params);
    model.dispose();
  });
}

Deno.test("toLora() of an adapter of no update is zero", async () => {
  const model = await goldenBase(reference());
  const adapter = adapt(model, lora({ rank: 2 }));
  const { adapter: same, error } = await toLora(model, adapter, { error: 0.1 });
  assert.equal(error, 0);
  assert.deepEqual(await logitsOf(graft(model, same)), await logitsOf(model));
  dispose([adapter.params, same.params]);
  model.dispose();
});

Deno.test("onOriginal() puts PiSSA, OLoRA and LoftQ on the base that everyone has", async () => {
  const model = await goldenBase(reference());
  const options = { rank: 2, alpha: 3, targets: ["q_proj", "down_proj"] } as const;
  for (const [i, prepare] of [pissa, olora, loftq].entries()) {
    const prepared = await prepare(model, options);
    const adapter = trained(prepared.model, prepared.adapter.method, 8);
    const before = memory(model.backend).live;
    const { adapter: plain, error } = await onOriginal(model, prepared, adapter);
    const wanted = await logitsOf(graft(prepared.model, adapter));
    assertClose(await logitsOf(graft(model, plain)), wanted, 1e-5);
    const ranks = new Set(
      leaves(plain.params).filter(([path]) => path.endsWith(".a")).map(([, t]) => t.shape[0]),
    );
    if (i < 2) assert.deepEqual([...ranks], [4]);
    assert.ok(error < 1e-5);
    const { name } = prepared.adapter.method;
    assert.equal(name, ["pissa", "olora", "loftq"][i]);
    await assert.rejects(saveAdapter("nowhere", prepared.adapter, model), {
      name: "TypeError",
      message: new RegExp(`Cannot save "${name}" .* save what onOriginal makes of it`),
    });
    const merged = merge(model, plain);
    assertClose(await logitsOf(merged), wanted, 1e-5);
    merged.dispose();
    dispose(plain.params);
    assert.equal(memory(model.backend).live, before);
    dispose(adapter.params);
    prepared.dispose();
  }
  model.dispose();
});

Deno.test("toLora() and combine() name what they cannot do", async () => {
  const model = await goldenBase(reference());
  const adapter = trained(model, lora({ rank: 2 }), 1);
  const bottleneck = adapt(model, pfeiffer({ reduction: 4 }));
  await assert.rejects(toLora(model, bottleneck, { rank: 1 }), {
    name: "TypeError",
    message:
      /Cannot write pfeiffer as updates of matrices: its edit at ".*" is a hidden, which no weight holds/,
  });
  await assert.rejects(toLora(model, adapter, { rank: 0 }), /rank to be a positive integer but found 0/);
  await assert.rejects(toLora(model, adapter, { error: 1 }), /error from 0 up to 1 but found 1/);
  await assert.rejects(combine(model, [], []), /at least one adapter/);
  await assert.rejects(
    combine(model, [adapter], [1, 2]),
    /Expected 1 weights, one an adapter, but found \[1, 2\]/,
  );
  await assert.rejects(
    combine(model, [adapter], [1], { method: "ties", density: 0 }),
    /density over 0 up to 1/,
  );
  await assert.rejects(
    combine(model, [adapter], [1], { method: "magnitudePrune", density: 1e-4 }),
    /Cannot keep 0.0001 of the \d+ entries of ".*q_proj": that is less than one/,
  );
  dispose([adapter.params, bottleneck.params]);
  model.dispose();
});
