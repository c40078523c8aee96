/** Sparse and dense differences of a table that a head is tied to: the head follows, or stays. */
import assert from "node:assert/strict";
import {
  count,
  forward,
  graft,
  keep,
  key,
  lookup,
  merge,
  type Method,
  type Model,
  read,
  scope,
  setLeaves,
  type Synchronous,
  type Tensor,
  tensor,
  type Tree,
  weightLeaves,
} from "../../../core/mod.ts";
import { denseDeltas } from "../../../methods/selective/dense_deltas.ts";
import { ltSftLeaves } from "../../../methods/selective/lt_sft_leaves.ts";
import { ltSft, type SparseMask } from "../../../methods/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { BACKENDS, withBackend } from "../../support/backends.ts";
import { noised } from "../../support/subject.ts";
import { tinyGpt2 } from "../../support/tiny_models.ts";

const TABLE = "transformer.wte.weight";
const BATCH = { inputIds: [[1, 5, 3], [2, 2, 7]] };

async function logitsOf(model: Model): Promise<Float32Array> {
  const { logits } = forward(model, BATCH);
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
}

/** The base with the moved table, and with the head's old one or none of its own. */
async function moved(
  model: Model,
  change: ArrayLike<number>,
  head: "follows" | "stays",
): Promise<Float32Array> {
  const base = lookup(model.weights, TABLE) as Tensor;
  const numbers = (await read(base)).map((x, i) => x + change[i]!);
  const table = tensor(numbers, { backend: model.backend, shape: base.shape });
  const leaves: readonly (readonly [string, Tensor])[] = [
    [TABLE, table],
    ...head === "stays" ? [["lm_head.weight", base] as const] : [],
  ];
  const logits = await logitsOf({ ...model, weights: setLeaves(model.weights, leaves) });
  table.storage.free();
  return logits;
}

for (const name of BACKENDS) {
  for (const head of ["follows", "stays"] as const) {
    Deno.test(`differences of a tied table: the head ${head} (${name})`, () =>
      withBackend(name, (backend) =>
        assertNoLeak(async () => {
          const model = tinyGpt2(backend, 4);
          const { shape } = lookup(model.weights, TABLE) as Tensor;
          const { lookups } = ltSftLeaves(model, { tiedHead: head });
          assert.deepEqual(lookups, head === "stays" ? [TABLE] : []);
          const indices = Int32Array.of(13, 14, 40, 61);
          const mask: SparseMask = {
            leaves: [{ path: TABLE, shape, indices }],
            whole: [],
            lookups: lookups!,
          };
          const cases: readonly (readonly [Method, (t: Float32Array) => ArrayLike<number>])[] = [
            [ltSft({ mask }), (values) => {
              const all = new Float32Array(shape[0]! * shape[1]!);
              indices.forEach((i, n) => all[i] = values[n]!);
              return all;
            }],
            [denseDeltas("dense", { paths: [TABLE], whole: [], lookups: lookups! }), (delta) => delta],
          ];
          for (const [method, spread] of cases) {
            const params = keep(
              scope((): Synchronous<Tree> =>
                noised(method.init({ model, key: 0 }), key(5)) as Synchronous<Tree>
              ),
            );
            const trained = lookup(
              params.tree,
              `${TABLE}.${method.name === "dense" ? "delta" : "values"}`,
            ) as Tensor;
            const expected = await moved(model, spread(await read(trained)), head);
            const adapter = { method, params: params.tree };
            assertClose(await logitsOf(graft(model, adapter)), expected, 1e-5, "logits");
            const merged = merge(model, adapter);
            assertClose(await logitsOf(merged), expected, 1e-5, "merged");
            merged.dispose();
            if (method.name === "ltSft") assert.equal(count(model, adapter).changed, indices.length);
            params.dispose();
          }
          assert.equal(weightLeaves(model.weights).some(([path]) => path === "lm_head.weight"), false);
          model.dispose();
        })));
  }
}
