/**
 * Rows that prompts add to a text's own tokens are as another token table for those tokens: whole, padded, continued from a cache,
 * in texts at positions of their own and beside rows before the text; on each kind of entrance.
 */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Batch,
  type Cache,
  fn,
  forward,
  graft,
  key,
  lookup,
  type Model,
  read,
  scope,
  setLeaves,
  type Tensor,
  tensor,
} from "../../core/mod.ts";
import { promptTuning } from "../../methods/mod.ts";
import { readingStack } from "../../methods/adapters/invertible_adapter.ts";
import { freshModel, smallConfig } from "../../models/mod.ts";
import { normal } from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose } from "../support/assert.ts";

const N = 3;
const IDS = [4, 7, 9, 5, 8];

const fresh = (kind: Parameters<typeof smallConfig>[0]): Model =>
  freshModel({ ...smallConfig(kind), tie_word_embeddings: false }, { backend: reference(), key: 3 });

/** Adds N rows to a text's first tokens. */
function onto({ spec, backend }: Model): Adapter & { readonly params: { readonly rows: Tensor } } {
  const { path, width } = readingStack(spec)!;
  return {
    method: {
      name: "onto",
      config: {},
      init: () => ({}),
      edits: ({ rows }) => [{
        kind: "prompt",
        path,
        length: N,
        where: "onto",
        rows: fn({ rows: rows as Tensor }, ({ rows }) => rows),
      }],
    },
    params: { rows: normal(key(1), [N, width], backend) },
  };
}

/** The model whose token table has the rows on top of those of the first N ids, each of which stands in a text once. */
async function tabled(model: Model, rows: Tensor): Promise<Model> {
  const path = `${model.spec.embeddings.find(({ role }) => role === "token")!.path}.weight`;
  const table = lookup(model.weights, path) as Tensor;
  const [numbers, added, width] = [await read(table), await read(rows), table.shape[1]!];
  const sums = numbers.map((x, i) => {
    const n = IDS.slice(0, N).indexOf(Math.floor(i / width));
    return n < 0 ? x : x + added[n * width + i % width]!;
  });
  const other = tensor(sums, { backend: model.backend, shape: table.shape });
  return { ...model, weights: setLeaves(model.weights, [[path, other]]) };
}

const logits = (model: Model, batch: Batch): Promise<Float32Array> =>
  read(scope(() => forward(model, batch).logits));

for (const kind of ["llama", "gpt2", "bert", "t5"] as const) {
  Deno.test(`rows onto a text's tokens are another table for them (${kind})`, async () => {
    const model = fresh(kind);
    const adapter = onto(model);
    // The decoder of an encoder-decoder model reads other tokens.
    const more: Partial<Batch> = kind === "t5" ? { decoderInputIds: [[1, 2], [1, 2]] } : {};
    const inputIds = [IDS, [...IDS.slice(0, 4), 0]];
    const batch: Batch = { inputIds, attentionMask: [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]], ...more };
    const wanted = await logits(await tabled(model, adapter.params.rows), batch);
    assertClose(await logits(graft(model, adapter), batch), wanted, 1e-6);
    assert.notDeepEqual(await logits(model, batch), wanted);
  });
}

Deno.test("rows onto a text's tokens go by its own positions, on padding before it and in a packed row", async () => {
  const model = fresh("llama");
  const adapter = onto(model);
  const changed = await tabled(model, adapter.params.rows);
  const batches: readonly Batch[] = [
    {
      inputIds: [[0, 0, ...IDS]],
      attentionMask: [[0, 0, 1, 1, 1, 1, 1]],
      positionIds: [[-1, -1, 0, 1, 2, 3, 4]],
    },
    {
      inputIds: [[...IDS, ...IDS]],
      positionIds: [[0, 1, 2, 3, 4, 0, 1, 2, 3, 4]],
      segmentIds: [[1, 1, 1, 1, 1, 2, 2, 2, 2, 2]],
    },
  ];
  for (const batch of batches) {
    const [found, wanted] = [await logits(graft(model, adapter), batch), await logits(changed, batch)];
    const from = batch.attentionMask === undefined ? 0 : 2 * wanted.length / 7;
    assertClose(found.slice(from), wanted.slice(from), 1e-6);
  }
});

Deno.test("rows onto a text's tokens count from its start in a pass that continues it, and behind rows before it", async () => {
  for (const kind of ["llama", "gpt2"] as const) {
    const model = fresh(kind);
    const adapter = onto(model);
    const changed = await tabled(model, adapter.params.rows);
    const method = promptTuning({ length: 2 });
    const before = { method, params: method.init({ model, key: 5 }) } as unknown as Adapter;
    for (const prompts of [[], [before]]) {
      const on = (base: Model) => prompts.reduce((m, prompt) => graft(m, prompt), base);
      const wanted = await logits(on(changed), { inputIds: [IDS] });
      let cache: Cache | undefined;
      const found: number[] = [];
      for (const ids of [IDS.slice(0, 2), IDS.slice(2, 3), IDS.slice(3)]) {
        const pass = scope(() => {
          const { logits, cache: next } = forward(on(graft(model, adapter)), { inputIds: [ids] }, {
            keepCache: true,
            ...cache && { cache },
          });
          return { logits, cache: next };
        });
        found.push(...await read(pass.logits));
        cache = pass.cache;
      }
      assertClose(found, wanted, 1e-5, `${kind} behind ${prompts.length}`);
    }
  }
});
