/**
 * The laws that every method obeys, as property tests over keys, models and batches. A method's test file calls
 * `methodLaws` once for each of its forms and adds what is its own: golden values, errors, counts of the paper.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Adapter,
  allEdits,
  bytesOf,
  compose,
  count,
  type Counts,
  forward,
  type ForwardOptions,
  graft,
  leaves,
  loss,
  lossAndGradients,
  mapTree,
  memory,
  merge,
  type Model,
  read,
  scope,
  type Storage,
  type Synchronous,
  type Tensor,
  tensor,
  tensorsIn,
  trainable,
  type Tree,
  unmerge,
  weightLeaves,
} from "../../core/mod.ts";
import { add } from "../../ops/mod.ts";
import { ia3, lora } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "./assert.ts";
import { withBackend } from "./backends.ts";
import { cases, type Made, type Subject, TINY_MODELS, type TinyModel, withSubject } from "./subject.ts";

/** What holds for one method and what does not (methods.md, section 8). */
export interface MethodExpectations {
  /** A method for a model. */
  method(model: Model): Made;
  /** Whether a fresh adapter leaves the model's function as it is. */
  readonly atInit: "base" | "other";
  /** Whether weights can hold it, and whether subtraction then takes it out again. */
  readonly merges: "and unmerges" | "only" | "no";
  /** The paper's formula. */
  counts(model: Model): Partial<Counts>;
  /** Leaves that finite differences misjudge: behind a constant (DoRA's norm) or a corner (ReLU). Golden cases judge those. */
  unlikeDifferences?(path: string): boolean;
  /** Whether something smaller remains after training. Default false. */
  readonly settles?: boolean;
  /** Whether a later token changes what an earlier one gives (a gate over the text): a cache cannot see that. */
  readonly looksAhead?: boolean;
  /** Default: a Llama and a GPT-2. */
  readonly models?: readonly TinyModel[];
  /** Random cases for each law, default 3. */
  readonly runs?: number;
}

type Law = (subject: Subject, expected: MethodExpectations) => unknown;

/** Registers a test for each law. */
export function methodLaws(title: string, expected: MethodExpectations): void {
  const models = expected.models ?? TINY_MODELS;
  const laws = {
    ...LAWS,
    ...expected.merges !== "no" && UNMERGING,
    ...expected.settles && SETTLING,
    ...!expected.looksAhead && CONTINUING,
  };
  for (const [name, law] of Object.entries(laws)) {
    Deno.test(`${title}: ${name}`, () => {
      const backend = reference();
      return fc.assert(
        fc.asyncProperty(
          cases(models),
          (subject) =>
            assertNoLeak(() => withSubject(subject, backend, expected.method, (s) => law(s, expected))),
        ),
        { numRuns: expected.runs ?? 3 },
      );
    });
  }
  Deno.test(`${title}: reference and wasm agree`, () =>
    withBackend("wasm", (wasm) =>
      fc.assert(
        fc.asyncProperty(cases(models), async (subject) => {
          const results: Numbers[] = [];
          for (const backend of [reference(), wasm]) {
            await withSubject(subject, backend, expected.method, async (s) => {
              results.push(await everything(s));
            });
          }
          // 1e-3: f32 sums in another order and other exp and cos, through two blocks and back.
          // A leaf whose gradient vanishes is measured against the others.
          const [one, two] = results as [Numbers, Numbers];
          const floor = 1e-3 *
            largest([...one].filter(([what]) => what !== "logits").flatMap(([, x]) => [...x]));
          for (const [what, numbers] of one) {
            assertClose([...two.get(what)!, floor], [...numbers, floor], 1e-3, what);
          }
        }),
        { numRuns: expected.runs ?? 3 },
      )));
}

const LAWS: Readonly<Record<string, Law>> = {
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
        // One of three steps must do: a large one suffers from curvature, a small one from losses rounded to f32.
        const differences: number[] = [];
        const agrees = () =>
          differences.some((d) => Math.abs(d - slope) <= 1e-3 * Math.max(1, Math.abs(slope)));
        for (const h of [1 / 64, 1 / 256, 1 / 1024]) {
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

const CONTINUING: Readonly<Record<string, Law>> = {
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

const UNMERGING: Readonly<Record<string, Law>> = {
  "unmerging gives the base back, or throws": async ({ model, adapter }, { merges }) => {
    const merged = merge(model, adapter);
    if (merges === "only") assert.throws(() => unmerge(merged, adapter), TypeError);
    else {
      const base = unmerge(merged, adapter);
      const found = new Map(weightLeaves(base.weights));
      for (const [path, t] of weightLeaves(model.weights)) {
        assertClose(await read(found.get(path)!), await read(t), 1e-5, path);
      }
      base.dispose();
    }
    merged.dispose();
  },
};

const SETTLING: Readonly<Record<string, Law>> = {
  "settling keeps the function": async ({ model, method, adapter, batch }) => {
    const settled = method.settle!(adapter.params, model.spec);
    const [before, after] = [
      await logitsOf(graft(model, adapter), batch),
      await logitsOf(graft(model, settled), batch),
    ];
    assertClose(after, before, 1e-5, "logits");
    free([settled.params]);
  },
};

type Numbers = ReadonlyMap<string, Float32Array>;

/** Logits, loss and gradients in training mode. */
async function everything({ model, adapter, batch, key }: Subject): Promise<Numbers> {
  const result = new Map([["logits", await logitsOf(graft(model, adapter), batch)]]);
  const { value, gradients } = lossAndGradients(model, adapter, batch, { train: true, key });
  result.set("loss", await read(value));
  for (const [path, g] of leaves(gradients)) result.set(path, await read(g));
  free([value, gradients]);
  return result;
}

async function logitsOf(model: Model, batch: Subject["batch"]): Promise<Float32Array> {
  const { logits } = forward(model, batch);
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
}

/** The derivative of the loss along a direction of one leaf, by five-point differences. */
async function differenceAlong(
  { model, adapter, batch, backend }: Subject,
  path: string,
  direction: ArrayLike<number>,
  h: number,
  options: ForwardOptions,
): Promise<number> {
  const at = async (step: number): Promise<number> => {
    const value = scope(() => {
      const params = mapTree(
        adapter.params,
        (t, p) =>
          p === path
            ? add(t, tensor(Array.from(direction, (x) => x * step), { backend, shape: t.shape }))
            : t,
      );
      const data = loss(graft(model, { ...adapter, params }), batch, options);
      const penalty = adapter.method.penalty?.(params, model.spec);
      return penalty === undefined ? data : add(data, penalty);
    });
    const [number] = await read(value);
    value.storage.free();
    return number!;
  };
  return (8 * (await at(h) - await at(-h)) - (await at(2 * h) - await at(-2 * h))) / (12 * h);
}

const largest = (x: readonly number[]): number => x.reduce((m, y) => Math.max(m, Math.abs(y)), 0);

const unit = (n: number, i: number): readonly number[] =>
  Array.from({ length: n }, (_, j) => j === i ? 1 : 0);

function zip<A, B>(a: readonly A[], b: readonly B[]): readonly (readonly [A, B])[] {
  assert.equal(a.length, b.length);
  return a.map((x, i) => [x, b[i]!] as const);
}

/** Storages that an init made, without those that it took from elsewhere (experts). */
function bornIn(params: Tree, model: Model): ReadonlySet<Storage> {
  const base = new Set(weightLeaves(model.weights).map(([, t]) => t.storage));
  return new Set(
    leaves(params).map(([, t]) => t.storage).filter((s) => !base.has(s) && s.owner === undefined),
  );
}

function disposeBorn(trees: readonly Tree[], model: Model): void {
  for (const tree of trees) for (const storage of bornIn(tree, model)) storage.free();
}

function free(value: unknown): void {
  for (const t of tensorsIn(value)) t.storage.free();
}
