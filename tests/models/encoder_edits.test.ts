/**
 * Prompts, prefixes and adapters on BERT, RoBERTa and T5 equal PEFT's and AdapterHub's (tests/oracles/encoder_edits.py), in
 * every stack, cached or not. Tolerances as in encoders.test.ts.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Adapter,
  type Backend,
  type Batch,
  detach,
  type Edit,
  fn,
  fold,
  forward,
  type ForwardOptions,
  graft,
  keep,
  key,
  leaves,
  lookup,
  lossAndGrad,
  type Method,
  type Model,
  nest,
  read,
  scope,
  type Spec,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { pfeiffer } from "../../methods/adapters/pfeiffer.ts";
import { add, matmul, multiply, normal, silu } from "../../ops/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { GOLDEN, goldenNumbers, goldenTensors } from "../support/golden.ts";

interface Bottleneck {
  readonly down: { readonly weight: Tensor; readonly bias: Tensor };
  readonly up: { readonly weight: Tensor; readonly bias: Tensor };
}

/** A method of edits that are written out. */
function method(edits: (params: Tree, spec: Spec) => readonly Edit[]): Method {
  return { name: "written", config: {}, init: () => ({}), edits };
}

/**
 * PEFT's prefix: a past of self-attention. In T5 only the decoder has one, and each layer takes the rows of the layer of twice
 * its number, since PEFT lays out rows for cross-attention too and then drops those.
 */
const prefix = method((params, spec) => {
  const twoStacks = spec.stacks.length > 1;
  const places = spec.attentions.filter(({ stack, role }) =>
    !twoStacks || (stack === "decoder" && role === "self")
  );
  return places.map(({ path, layer }) => {
    const source = twoStacks ? (2 * layer!) % places.length : layer!;
    const at = (part: string): Tensor => lookup(params, `${part}.${source}`) as Tensor;
    return { kind: "prefix", path, positions: 3, rows: fn({ k: at("k"), v: at("v") }, (rows) => rows) };
  });
});

const prompt = method((params, spec) => [{
  kind: "prompt",
  path: spec.stacks[0]!.path,
  length: 3,
  rows: fn(params["prompt"] as Tensor, (rows) => rows),
}]);

/** h ← h + U silu(D h + b) + b after attention and feed-forward parts, but not after cross-attention. */
const houlsby = method((params, spec) =>
  spec.sublayers.filter((place) => place.role !== "cross").map(({ path }) => ({
    kind: "hidden",
    path,
    reads: "output",
    delta: fn(lookup(params, path) as unknown as Bottleneck, ({ down, up }, { y }) => {
      const affine = (w: Tensor, b: Tensor, x: Tensor): Tensor => add(matmul(x, w, { transposeB: true }), b);
      return affine(up.weight, up.bias, silu(affine(down.weight, down.bias, y)));
    }),
  }))
);

const CASES: readonly (readonly [base: string, kind: string, method: Method])[] = [
  ["bert_text", "prefix", prefix],
  ["bert_tags", "prefix", prefix],
  ["roberta_tags", "prefix", prefix],
  ["t5_square", "prefix", prefix],
  ["bert_text", "prompt", prompt],
  ["t5", "prompt", prompt],
  ["bert_text", "pfeiffer", pfeiffer({ reduction: 4 })],
  ["t5", "pfeiffer", pfeiffer({ reduction: 4 })],
  ["bert_tags", "houlsby", houlsby],
  ["t5", "houlsby", houlsby],
];

const pathOf = (base: string): string =>
  base === "t5_square" ? `${GOLDEN}encoder_edits/t5_square` : `${GOLDEN}encoders/${base}`;

const batchOf = (base: string): Batch =>
  JSON.parse(Deno.readTextFileSync(`${GOLDEN}encoders/${base === "t5_square" ? "t5" : base}/case.json`));

/** The golden parameters, kept; names may begin with a path of the model. */
function rowsOf(file: string, backend: Backend): ReturnType<typeof keep<Tree>> {
  return keep(scope((): Synchronous<Tree> =>
    nest(
      [...goldenTensors(`encoder_edits/${file}.safetensors`, backend)].filter(([name]) =>
        name.startsWith("rows.")
      )
        .map(([name, t]) => [name.slice(5), t] as const),
    ) as Synchronous<Tree>
  ));
}

for (const backendName of ALL_BACKENDS) {
  for (const [base, kind, method] of CASES) {
    Deno.test(`a ${kind} on ${base} equals the other library's logits, loss and gradients (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        assertNoLeak(async () => {
          const model = await loadModel(pathOf(base), { backend });
          const expected = goldenNumbers(`encoder_edits/${base}_${kind}.safetensors`);
          const batch = batchOf(base);
          const params = rowsOf(`${base}_${kind}`, backend);
          const adapter: Adapter = { method, params: params.tree };
          const { logits } = forward(graft(model, adapter), batch);
          const mask = base.endsWith("tags") ? batch.attentionMask!.flat() : undefined;
          const real = (all: ArrayLike<number>): readonly number[] =>
            Array.from(all).filter((_, i) => mask?.[Math.floor(i / (all.length / mask.length))] !== 0);
          assertClose(real(await read(logits)), real(expected.get("logits")!), 1e-5, "logits");
          logits.storage.free();
          const { loss, grads } = await lossAndGrad(model, adapter, batch);
          assertClose([loss], expected.get("loss")!, 1e-5, "loss");
          const found = new Map(leaves(grads));
          assert.deepEqual(
            [...found.keys()].sort(),
            [...expected.keys()].filter((name) => name.startsWith("grad.")).map((name) => name.slice(5))
              .sort(),
          );
          for (const [path, t] of found) {
            assertClose(await read(t), expected.get(`grad.${path}`)!, 1e-4, path);
          }
          for (const [, t] of found) t.storage.free();
          params.dispose();
          model.dispose();
        })));
  }
}

/** Edits at every kind of place of both stacks, drawn from a seed. */
function everywhere(model: Model, seed: number): Adapter {
  const random = (name: string, shape: readonly number[]): Tensor =>
    multiply(normal(fold(key(seed), name), shape, model.backend), 0.3);
  const params = scope((): Synchronous<Tree> =>
    nest([
      ...model.spec.attentions.flatMap(({ path, heads, headDim }) =>
        ["k", "v"].map((part) => [`${path}.${part}`, random(path + part, [2, heads, headDim])] as const)
      ),
      ...model.spec.stacks.map(({ stack, width }) =>
        [`prompts.${stack}`, random(stack, [3, width])] as const
      ),
      ...model.spec.sublayers.map(({ path, width }) =>
        [`hidden.${path}`, random(path, [width, width])] as const
      ),
    ]) as Synchronous<Tree>
  );
  const edits = (params: Tree, spec: Spec): readonly Edit[] => [
    ...spec.attentions.map((place, i): Edit => ({
      kind: "prefix",
      path: place.path,
      positions: place.role === "self" ? (i % 2) * 2 : 0,
      rows: fn(lookup(params, place.path) as unknown as { k: Tensor; v: Tensor }, ({ k, v }) => ({ k, v })),
    })),
    ...spec.stacks.map(({ stack, path }): Edit => ({
      kind: "prompt",
      path,
      length: 3,
      rows: fn(lookup(params, `prompts.${stack}`) as Tensor, (rows) => rows),
    })),
    ...spec.sublayers.map(({ path }): Edit => ({
      kind: "hidden",
      path,
      reads: "input",
      delta: fn(lookup(params, `hidden.${path}`) as Tensor, (w, { x }) => matmul(x, w)),
    })),
  ];
  return { method: method(edits), params };
}

for (const base of ["t5", "t5_gated"]) {
  Deno.test(`${base} gives the same logits with a cache as without, under edits in both stacks`, () =>
    withBackend("wasm", (backend) =>
      assertNoLeak(async () => {
        const model = await loadModel(pathOf(base), { backend });
        const ids = (n: number) => fc.array(fc.nat(36), { minLength: n, maxLength: n });
        const drawn = fc.tuple(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 2, max: 6 }), fc.nat())
          .chain((
            [read, written, seed],
          ) =>
            fc.tuple(fc.tuple(ids(read), ids(read)), fc.tuple(ids(written), ids(written)), fc.constant(seed))
          );
        await fc.assert(
          fc.asyncProperty(drawn, async ([inputIds, decoded, seed]) => {
            const adapter = everywhere(model, seed);
            const tuned = graft(model, adapter);
            const attentionMask = inputIds.map((row, b) => row.map((_, i) => b === 1 && i > 2 ? 0 : 1));
            const batch = (decoderInputIds: readonly (readonly number[])[]): Batch => ({
              inputIds,
              attentionMask,
              decoderInputIds,
            });
            const whole = await logitsOf(tuned, batch(decoded), {});
            const u = decoded[0]!.length;
            const v = whole.length / (2 * u);
            const first = forward(tuned, batch(decoded.map((row) => row.slice(0, 1))), { keepCache: true });
            const root = keep(first);
            for (let t = 0;; t++) {
              const found = await read(root.tree.logits);
              const expected = [0, 1].flatMap((
                b,
              ) => [...whole.subarray((b * u + t) * v, (b * u + t + 1) * v)]);
              assertClose(found, expected, 2e-5, `logits at ${t}`);
              if (t + 1 === u) break;
              const cache = root.tree.cache!;
              const next = batch(decoded.map((row) => row.slice(t + 1, t + 2)));
              root.replace(forward(tuned, next, { cache }));
            }
            root.dispose();
            for (const [, t] of leaves(adapter.params)) t.storage.free();
          }),
          { numRuns: 8 },
        );
        model.dispose();
      })));
}

async function logitsOf(model: Model, batch: Batch, options: ForwardOptions): Promise<Float32Array> {
  const { logits } = forward(model, batch, options);
  const numbers = await read(detach(logits)) as Float32Array;
  logits.storage.free();
  return numbers;
}
