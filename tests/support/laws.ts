/** The laws of methods, each a function of a subject that throws when it is broken. */
import assert from "node:assert/strict";
import {
  type Adapter,
  allEdits,
  bytesOf,
  compose,
  count,
  type Counts,
  forward,
  graft,
  leaves,
  lossAndGradients,
  memory,
  merge,
  perRow,
  read,
  scope,
  type Synchronous,
  type Tensor,
  tensorsIn,
  trainable,
  type Tree,
  unmerge,
  weightLeaves,
} from "../../core/mod.ts";
import { ia3, lora } from "../../methods/mod.ts";
import { assertClose } from "./assert.ts";
import { bornIn, differenceAlong, disposeBorn, free, largest, logitsOf, unit, zip } from "./law_numbers.ts";
import type { MethodExpectations } from "./method_expectations.ts";
import type { Subject } from "./subject.ts";

/** A law, given what is expected of the method. */
export type Law = (subject: Subject, expected: MethodExpectations) => unknown;

/** Of every method. */
export const LAWS: Readonly<Record<string, Law>> = {
  "init is a function of the key alone": async ({ model, method, key }) => {
    const [one, two] = [method.init({ model, key }), method.init({ model, key })];
    for (const [[path, a], [, b]] of zip(leaves(one), leaves(two))) {
      assert.deepEqual(await bytesOf(a), await bytesOf(b), path);
    }
    disposeBorn([one, two], model);
  },

  "init leaves nothing behind but the parameters": ({ model, method, key, backend }) => {
    const before = memory(backend).live;
    const params = method.init({ model, key });
    const born = bornIn(params, model);
    assert.equal(memory(backend).live - before, [...born].reduce((n, s) => n + s.bytes, 0));
    disposeBorn([params], model);
  },

  "edits and grafting allocate nothing": ({ model, adapter, backend }) => {
    const before = memory(backend).live;
    graft(model, adapter);
    assert.equal(memory(backend).live, before);
  },

  "base and parameters stay as they are": async ({ model, adapter, batch, key }, { merges }) => {
    const held = [...weightLeaves(model.weights), ...leaves(adapter.params)];
    const before = await Promise.all(held.map(([, t]) => bytesOf(t)));
    await logitsOf(graft(model, adapter), batch);
    free([lossAndGradients(model, adapter, batch, { train: true, key })]);
    if (merges !== "no") merge(model, adapter).dispose();
    const after = [...weightLeaves(model.weights), ...leaves(adapter.params)];
    for (const [i, [path, t]] of after.entries()) {
      assert.equal(t, held[i]![1], `${path} has another handle`);
      assert.deepEqual(await bytesOf(t), before[i], `${path} has other bytes`);
    }
  },

  "a fresh adapter gives the base's output where it should": async ({ model, fresh, batch }, { atInit }) => {
    const [base, adapted] = [await logitsOf(model, batch), await logitsOf(graft(model, fresh), batch)];
    // 2e-6: a scale m / ‖W‖ that is 1 within rounding.
    if (atInit === "base") assertClose(adapted, base, 2e-6, "logits");
    else assert.notDeepEqual(adapted, base);
  },

  "a changed adapter changes the output": async ({ model, adapter, batch }) => {
    assert.notDeepEqual(await logitsOf(graft(model, adapter), batch), await logitsOf(model, batch));
  },

  "count equals the formula": ({ model, adapter }, { counts }) => {
    const found = count(model, adapter);
    const wanted = counts(model);
    assert.deepEqual(
      Object.fromEntries(Object.keys(wanted).map((k) => [k, found[k as keyof Counts]])),
      wanted,
    );
    assert.equal(found.stored, leaves(adapter.params).reduce((n, [, t]) => n + t.size, 0));
  },

  "merged equals adapted, or merging throws": async ({ model, adapter, batch }, { merges }) => {
    if (merges === "no") return void assert.throws(() => merge(model, adapter), TypeError);
    const merged = merge(model, adapter);
    assert.deepEqual(allEdits(merged.weights), []);
    // 1e-5: f32 rounding of W + ΔW, relative to the largest logit.
    assertClose(await logitsOf(merged, batch), await logitsOf(graft(model, adapter), batch), 1e-5, "logits");
    merged.dispose();
  },

  "compose has a unit and is associative": async ({ model, adapter, batch, key }) => {
    const { method: m, params } = adapter;
    const [before, after] = [lora({ rank: 1, targets: "all-linear", initialization: "none" }), ia3()];
    const [p, q] = [before.init({ model, key }), after.init({ model, key })];
    const run = (method: Adapter["method"], params: Tree) =>
      logitsOf(graft(model, { method, params }), batch);
    assert.deepEqual(await run(compose({}), {}), await logitsOf(model, batch), "the empty composition");
    assert.deepEqual(await run(compose({ m }), { m: params }), await run(m, params), "a composition of one");
    const left = compose({ ab: compose({ before, m }), after });
    const right = compose({ before, bc: compose({ m, after }) });
    assert.deepEqual(
      await run(left, { ab: { before: p, m: params }, after: q }),
      await run(right, { before: p, bc: { m: params, after: q } }),
      "two nestings",
    );
    assert.deepEqual(
      await run(left, { ab: { before: p, m: params }, after: q }),
      await logitsOf(
        graft(graft(graft(model, { method: before, params: p }), adapter), { method: after, params: q }),
        batch,
      ),
      "a composition and grafting one by one",
    );
    for (const [, t] of [...leaves(p), ...leaves(q)]) t.storage.free();
  },

  "rows of one batch under adapters of their own are as each row alone": async (subject) => {
    const { model, adapter, fresh, batch, key } = subject;
    const method = lora({ rank: 1, targets: "all-linear", initialization: "none" });
    const other = { method, params: method.init({ model, key }) };
    const adapters: Readonly<Record<string, Adapter>> = { one: adapter, two: fresh, three: other };
    const twice = <T>(rows: readonly T[]): readonly T[] => [...rows, ...rows];
    const rows = twice(batch.inputIds).map((_, i) => ["one", null, "three", "two", "one"][(i + key.a) % 5]!);
    const { inputIds, attentionMask } = batch;
    /** Where a decoder reads tokens of its own: the same ones. */
    const decoded = (rows: typeof inputIds) => model.spec.stacks.length > 1 ? { decoderInputIds: rows } : {};
    const together = await logitsOf(graft(model, perRow(adapters)), {
      inputIds: twice(inputIds),
      attentionMask: twice(attentionMask!),
      ...decoded(twice(inputIds)),
      rows,
    });
    const n = together.length / rows.length;
    for (const [i, name] of rows.entries()) {
      const alone = {
        inputIds: [twice(inputIds)[i]!],
        attentionMask: [twice(attentionMask!)[i]!],
        ...decoded([twice(inputIds)[i]!]),
      };
      const expected = await logitsOf(name === null ? model : graft(model, adapters[name]!), alone);
      assertClose(together.subarray(i * n, (i + 1) * n), expected, 1e-5, `row ${i}, ${name}`);
    }
    free([other.params]);
  },

  "gradients are finite differences of the loss": async (subject, { unlikeDifferences }) => {
    const { model, adapter, batch, key } = subject;
    const options = { train: true, key };
    const { value, gradients } = lossAndGradients(model, adapter, batch, options);
    const trusted = leaves(gradients).filter(([path]) => !unlikeDifferences?.(path));
    // Six leaves a case, others in the next, to keep a test quick.
    const first = key.b % trusted.length;
    for (const [path, gradient] of [...trusted.slice(first), ...trusted.slice(0, first)].slice(0, 6)) {
      const g = await read(gradient);
      const norm = Math.hypot(...g);
      const i = Math.floor(subject.key.a % g.length);
      const along = norm > 0 ? g.map((x) => x / norm) : g;
      for (const [direction, slope] of [[unit(g.length, i), g[i]!], [along, norm]] as const) {
        // One of the steps must do: a large one suffers from curvature, a small one from losses rounded to f32.
        const differences: number[] = [];
        const agrees = () =>
          differences.some((d) => Math.abs(d - slope) <= 1e-3 * Math.max(1, Math.abs(slope)));
        for (const h of [1 / 64, 1 / 256, 1 / 1024, 1 / 4096, 1 / 16384]) {
          if (!agrees()) differences.push(await differenceAlong(subject, path, direction, h, options));
        }
        assert.ok(agrees(), `${path}[${i}]: the gradient says ${slope}, differences ${differences}`);
      }
    }
    free([value, gradients]);
  },

  "trained leaves get a gradient, frozen ones none": ({ model, adapter, batch, key }) => {
    const { value, gradients } = lossAndGradients(model, adapter, batch, { train: true, key });
    const shapes = (tree: Tree) => Object.fromEntries(leaves(tree).map(([path, t]) => [path, t.shape]));
    assert.deepEqual(shapes(gradients), shapes(trainable(adapter.params)));
    free([value, gradients]);
  },

  "recomputing blocks changes no gradient": async ({ model, adapter, batch, key }) => {
    const plain = lossAndGradients(model, adapter, batch, { train: true, key });
    const again = lossAndGradients(model, adapter, batch, { train: true, key, checkpointBlocks: true });
    for (const [[path, a], [, b]] of zip(leaves(plain.gradients), leaves(again.gradients))) {
      assertClose(await read(b), await read(a), 1e-5, path);
    }
    free([plain, again]);
  },

  "every tensor of the adapter is in its edits' fields": ({ model, method, adapter }) => {
    const seen = new Set(tensorsIn(method.edits(adapter.params, model.spec)).map((t) => t.storage));
    for (const [path, t] of leaves(adapter.params)) assert.ok(seen.has(t.storage), `${path} is in no edit`);
  },
};

/** Of models that never look ahead. */
export const CONTINUING: Readonly<Record<string, Law>> = {
  "a pass continued from a cache equals one pass": async ({ model, adapter, batch, key }) => {
    const tuned = graft(model, adapter);
    const { inputIds, attentionMask } = batch;
    const t = inputIds[0]!.length;
    const cut = 1 + key.a % (t - 1);
    const part = (from: number, to: number) => ({
      inputIds: inputIds.map((row) => row.slice(from, to)),
      attentionMask: attentionMask!.map((row) => row.slice(from, to)),
    });
    const halves = scope((): Synchronous<readonly Tensor[]> => {
      const first = forward(tuned, part(0, cut), { keepCache: true });
      return [first.logits, forward(tuned, part(cut, t), { cache: first.cache! }).logits];
    });
    const [one, two] = [await read(halves[0]!), await read(halves[1]!)];
    free(halves);
    const whole = await logitsOf(tuned, batch);
    const v = whole.length / (inputIds.length * t);
    const joined = inputIds.flatMap((_, row) => [
      ...one.subarray(row * cut * v, (row + 1) * cut * v),
      ...two.subarray(row * (t - cut) * v, (row + 1) * (t - cut) * v),
    ]);
    assertClose(joined, whole, 1e-5, "logits");
  },
};

/** Of adapters that merge. */
export const UNMERGING: Readonly<Record<string, Law>> = {
  "unmerging gives the base back, or throws": async ({ model, adapter }, { merges }) => {
    const merged = merge(model, adapter);
    if (merges === "only") assert.throws(() => unmerge(merged, adapter), TypeError);
    else {
      const base = unmerge(merged, adapter);
      // What the merge rounded, dividing by a small scale or a determinant near zero magnifies: then the base that comes back
      // merges to the same weights.
      const again = merge(base, adapter);
      const [found, once, twice] = [base, merged, again].map(({ weights }) => new Map(weightLeaves(weights)));
      for (const [path, t] of weightLeaves(model.weights)) {
        const [back, w] = [await read(found!.get(path)!), await read(t)];
        const size = largest([...w]);
        if (largest(Array.from(w, (x, i) => x - back[i]!)) <= 1e-5 * size) continue;
        assertClose(back, w, 1e-3, path);
        assertClose(
          await read(twice!.get(path)!),
          await read(once!.get(path)!),
          1e-6,
          `${path}, merged again`,
        );
      }
      again.dispose();
      base.dispose();
    }
    merged.dispose();
  },
};

/** Of methods that finalize. */
export const SETTLING: Readonly<Record<string, Law>> = {
  "settling keeps the function": async ({ model, method, adapter, batch }) => {
    const finalized = method.finalize!(adapter.params, model.spec);
    const [before, after] = [
      await logitsOf(graft(model, adapter), batch),
      await logitsOf(graft(model, finalized), batch),
    ];
    assertClose(after, before, 1e-5, "logits");
    free([finalized.params]);
  },
};
