/**
 * Combinations, against literal sums over dense matrices in f64, and against PEFT's `add_weighted_adapter`
 * (tests/oracles/weighted_adapters.py) where that too works on whole updates: "cat", "svd", TIES and magnitude pruning, within 1e-5 of the
 * largest entry for two f32 decompositions of 24 x 24.
 */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  bitsAt,
  chooseTargets,
  dispose,
  fold,
  graft,
  key,
  leaves,
  lookup,
  memory,
  type Model,
  read,
  sizesOf,
  type Tensor,
  weightUpdates,
} from "../../../core/mod.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import {
  type Combination,
  combine,
  lora,
  type LoraOptions,
  loraScale,
  pfeiffer,
  toLora,
} from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { GOLDEN, goldenNumbers } from "../../support/golden.ts";
import { goldenBase } from "../../support/golden_method.ts";
import { trainedAdapter } from "../../support/lowers_loss.ts";
import { goldenLogits } from "../../support/prepared_life.ts";

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
        const adapters = OPTIONS.map((options, k) => trainedAdapter(model, lora(options), k + 1));
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
    const adapter = trainedAdapter(model, lora(options), k);
    const wanted = await goldenLogits(graft(model, adapter));
    for (const how of [{ method: "cat" }, { method: "linear" }, { method: "ties", density: 1 }] as const) {
      const one = await combine(model, [adapter], [1], how);
      assertClose(await goldenLogits(graft(model, one.adapter)), wanted, 1e-5, how.method);
      dispose(one.adapter.params);
    }
    dispose(adapter.params);
  }
  model.dispose();
});

Deno.test("combine() by svd is nearer than any other cut and says how near", async () => {
  const model = await goldenBase(reference());
  const adapters = OPTIONS.map((options, k) => trainedAdapter(model, lora(options), k + 1));
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

Deno.test("toLora() and combine() name what they cannot do", async () => {
  const model = await goldenBase(reference());
  const adapter = trainedAdapter(model, lora({ rank: 2 }), 1);
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
    /Expected one finite weight for each adapter, 1 in all, but found \[1, 2\]/,
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

const PEFT_WEIGHTS = [0.5, -1.25];
const PEFT_KINDS: Readonly<Record<string, Combination>> = {
  cat: { method: "cat" },
  svd: { method: "svd", limit: { rank: 24 } },
  ties: { method: "ties", density: 0.4 },
  tiesFrequency: { method: "ties", density: 0.7, elect: "frequency" },
  magnitudePrune: { method: "magnitudePrune", density: 0.3 },
};

for (const name of ALL_BACKENDS.filter((name) => name !== "gpu")) {
  Deno.test(`combine() is PEFT's add_weighted_adapter over updates (${name})`, () =>
    withBackend(name, async (backend) => {
      const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend });
      const adapters = [
        await loadAdapter(`${GOLDEN}weighted_adapters/one`, model),
        await loadAdapter(`${GOLDEN}weighted_adapters/two`, model),
      ];
      const expected = goldenNumbers("weighted_adapters/updates.safetensors");
      for (const [kind, how] of Object.entries(PEFT_KINDS)) {
        const { adapter } = await combine(model, adapters, PEFT_WEIGHTS, how);
        const updates = weightUpdates(model, adapter);
        assert.equal(updates.length, 4);
        for (const { place, matrix } of updates) {
          const found = matrix();
          const wanted = expected.get(`${kind}.${place.path}`);
          assert.ok(wanted, `${kind}.${place.path}`);
          assertClose(await read(found), wanted, 1e-5, `${kind}.${place.path}`);
          dispose(found);
        }
        dispose(adapter.params);
      }
      dispose(adapters.map(({ params }) => params));
      model.dispose();
    }));
}
