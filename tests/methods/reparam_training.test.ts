/** What reparametrised methods do in training only: dropout of updates, penalties, projections; and on quantized bases. */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Backend,
  compose,
  dense,
  dispose,
  forward,
  graft,
  keep,
  key,
  leaves,
  loss,
  mapTree,
  merge,
  type Method,
  type Model,
  nest,
  quantize,
  read,
  scope,
  type Synchronous,
  type Tensor,
  tensor,
  type Tree,
} from "../../core/mod.ts";
import {
  boft,
  c3a,
  fourierft,
  hra,
  krona,
  loha,
  lokr,
  miss,
  oft,
  pvera,
  randlora,
  tinyLora,
  uniLora,
  vbLora,
  vera,
} from "../../methods/mod.ts";
import { addUpdate } from "../../methods/structured/update_dropout.ts";
import { add, identity, normal } from "../../ops/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { withBackend } from "../support/backends.ts";
import { tinyLlama } from "../support/tiny_models.ts";

const BATCH = { inputIds: [[1, 5, 3, 10], [2, 2, 7, 0]], labels: [[1, 5, 3, 10], [2, 2, 7, 0]] };

async function numbers(f: () => Tensor): Promise<readonly number[]> {
  const t = scope(() => f());
  const values = [...await read(t)];
  t.storage.free();
  return values;
}

/** An adapter with noise on all that trains. */
function noisy(model: Model, method: Method): { readonly adapter: Adapter; dispose(): void } {
  const fresh = keep(method.init({ model, key: 1 }));
  const root = keep(scope((): Synchronous<Tree> =>
    mapTree(
      fresh.tree,
      (t, path) => path.startsWith("frozen") ? t : add(t, normal(key(path.length), t.shape, t.backend, 0.2)),
    ) as Synchronous<Tree>
  ));
  return {
    adapter: { method, params: root.tree },
    dispose: () => {
      root.dispose();
      fresh.dispose();
    },
  };
}

Deno.test("addUpdate() leaves out rows and layers as often as it says, and scales what it keeps", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const n = 400;
      const map = dense(scope(() => identity(n, backend)));
      const x = tensor(new Float32Array(n).fill(1), { backend, shape: [1, n] });
      const pass = { phase: "train", ids: x, mask: undefined, signal: () => x, bias: undefined } as const;
      const run = (options: Parameters<typeof addUpdate>[1], train: boolean, seed: number) => {
        const change = addUpdate(map, options);
        assert.equal(change.form, "delta");
        if (change.form !== "delta") throw new Error();
        return numbers(() =>
          change.delta.run({
            ...pass,
            train,
            key: key(seed),
            x,
            y: x,
            weight: () => map.weight(),
            apply: map.apply,
          })
        );
      };
      const rows = await run({ rowDropout: 0.25 }, true, 1);
      const kept = rows.filter((y) => y === 1).length;
      assert.equal(rows.filter((y) => y === 0).length, n - kept);
      assert.ok(Math.abs(kept / n - 0.75) < 0.1, `${kept} of ${n}`); // four deviations of 0.022
      const scaled = await run({ rowDropout: 0.25, rowDropoutScaling: "kept" }, true, 1);
      assertClose(scaled, rows.map((y) => y * n / kept), 1e-6);
      assert.deepEqual(await run({ rowDropout: 0.25 }, true, 1), rows);
      assert.notDeepEqual(await run({ rowDropout: 0.25 }, true, 2), rows);
      assert.deepEqual(await run({ rowDropout: 0.25, moduleDropout: 0.5 }, false, 1), rows.map(() => 1));
      let layers = 0;
      for (let seed = 0; seed < 200; seed++) {
        const y = await run({ moduleDropout: 0.3 }, true, seed);
        assert.ok(y.every((v) => v === y[0]));
        layers += y[0]!;
      }
      assert.ok(Math.abs(layers / 200 - 0.7) < 0.13, `${layers} of 200`); // four deviations of 0.032
      assert.equal(addUpdate(map, {}).form, "add");
      x.storage.free();
      for (const t of map.tensors) t.storage.free();
    })));

Deno.test("hra() adds λ times the distance of its unit vectors from an orthonormal system, also within compose", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 2);
      const method = hra({ rank: 2, orthogonality: 0.5, targets: ["layers.0.self_attn.q_proj"] });
      // Columns (3, 4, 0, …) and (0, 1, 0, …): their cosine is 0.8, so ‖I − UᵀU‖² = 2 · 0.64.
      const u = Array.from({ length: 24 }, (_, i) => [3, 0, 4, 1][i] ?? 0);
      const params = nest([[
        "model.layers.0.self_attn.q_proj.u",
        tensor(u, { backend, shape: [12, 2] }),
      ]]) as Tree;
      assertClose(await numbers(() => method.penalty!(params, model.spec)), [0.5 * 2 * 0.64], 1e-6);
      const both = compose({ hra: method });
      assertClose(await numbers(() => both.penalty!({ hra: params }, model.spec)), [0.5 * 2 * 0.64], 1e-6);
      assert.equal(hra().penalty, undefined);
      dispose(params);
      model.dispose();
    })));

Deno.test("oft() with a constraint pulls back what is too far and leaves the rest", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const q = tensor([[3, 0, 4], [0.01, 0, 0]], { backend });
      const { project } = oft({ blocks: { size: 3 }, constraint: 1 });
      const params = scope((): Synchronous<Tree> => project!({ q }) as Synchronous<Tree>);
      // ‖Q‖ = √2 · 5 may be 1 / √2.
      assertClose(
        await read(params["q"] as Tensor),
        [0.3, 0, 0.4, 0.01, 0, 0],
        1e-6,
      );
      dispose([params, q]);
    })));

/** All forms of change on a base in 4 bits. */
const ON_CODES: Readonly<Record<string, Method>> = {
  "loha()": loha({ rank: 2 }),
  "lokr() with dropout": lokr({ rank: 2, rowDropout: 0.1 }),
  "krona()": krona(),
  "vera()": vera({ rank: 3 }),
  "hra()": hra({ rank: 2 }),
  "miss()": miss({ rank: 4 }),
  "miss() bat": miss({ rank: 4, form: "bat" }),
  "oft()": oft({ blocks: { size: 4 } }),
  "boft()": boft({ blocks: { size: 4 } }),
  "fourierft()": fourierft({ frequencies: 9, scale: 9 }),
  "c3a()": c3a({ block: 4 }),
  "tinyLora()": tinyLora({ dimension: 3 }),
  "pvera()": pvera({ rank: 3 }),
  "uniLora()": uniLora({ dimension: 9, bound: 0.5 }),
  "vbLora()": vbLora({ vectors: 5, length: 4, bankBound: 0.5 }),
  "randlora()": randlora({ rank: 3 }),
};
for (const [name, method] of Object.entries(ON_CODES)) {
  Deno.test(`${name} on an nf4 base adapts and merges the decoded weights`, () =>
    withBackend("reference", (backend: Backend) =>
      assertNoLeak(async () => {
        const full = tinyLlama(backend, 4, { width: 16 });
        const coded = quantize(full, { dtype: "nf4" });
        const decoded = quantize(coded, { dtype: "f32", requantize: true });
        const { adapter, dispose: free } = noisy(coded, method);
        const logits = (model: Model) => numbers(() => forward(model, BATCH).logits);
        const expected = await logits(graft(decoded, adapter));
        assertClose(await logits(graft(coded, adapter)), expected, 1e-5);
        const merged = merge(coded, adapter);
        assertClose(await logits(merged), expected, 1e-5);
        merged.dispose();
        free();
        for (const m of [decoded, coded, full]) m.dispose();
      })));
}

Deno.test("a rotation in a range of outputs leaves the others alone, and merges so", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 4);
      const inner = hra({ rank: 2, targets: ["layers.0.self_attn.q_proj"], initialization: "none" });
      const half: Method = {
        ...inner,
        edits: (params, spec) =>
          inner.edits(params, spec).map((edit) => ({ ...edit, out: [4, 9] as const }) as typeof edit),
      };
      const { adapter, dispose: free } = noisy(model, half);
      const logits = (m: Model) => numbers(() => forward(m, BATCH).logits);
      const merged = merge(model, adapter);
      const path = "model.layers.0.self_attn.q_proj";
      const [before, after] = [model, merged].map((m) => {
        const leaf = path.split(".").reduce(
          (node, part) => (node as Tree)[part]!,
          m.weights as Tree | Tensor,
        );
        return (leaf as Tree)["weight"] as Tensor;
      }) as [Tensor, Tensor];
      const [w, rotated] = [await read(before), await read(after)];
      const changed = Array.from(
        { length: 16 },
        (_, row) => w.subarray(row * 12, row * 12 + 12).some((x, i) => x !== rotated[row * 12 + i]),
      );
      assert.deepEqual(changed, Array.from({ length: 16 }, (_, row) => row >= 4 && row < 9));
      assertClose(await logits(merged), await logits(graft(model, adapter)), 1e-5);
      const value = await numbers(() => loss(graft(model, adapter), BATCH));
      assert.ok(Number.isFinite(value[0]));
      assert.ok(leaves(adapter.params).length === 1);
      merged.dispose();
      free();
      model.dispose();
    })));
