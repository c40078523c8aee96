/** Reading a text in chunks on a cache gives the logits of reading it at once. */
import fc from "fast-check";
import { type Cache, forward, keep, type Model, read } from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { GOLDEN } from "../../support/golden.ts";

type Rows = readonly (readonly number[])[];

/** Logits [b, t, v] of rows read chunk by chunk, joined along t. */
async function inPieces(
  model: Model,
  ids: Rows,
  mask: Rows | undefined,
  cuts: readonly number[],
): Promise<number[]> {
  const edges = [0, ...cuts, ids[0]!.length];
  const pieces: Float32Array[] = [];
  const root = keep<{ cache?: Cache }>({});
  try {
    for (let i = 0; i + 1 < edges.length; i++) {
      const piece = (rows: Rows): Rows => rows.map((row) => row.slice(edges[i], edges[i + 1]));
      const positions = mask?.map((row) => row.map((_, t) => row.slice(0, t).reduce((a, b) => a + b, 0)));
      const { logits, cache } = forward(
        model,
        {
          inputIds: piece(ids),
          ...mask && { attentionMask: piece(mask) },
          ...positions && { positionIds: piece(positions) },
        },
        { keepCache: true, ...root.tree.cache && { cache: root.tree.cache } },
      );
      pieces.push(await read(logits));
      logits.storage.free();
      root.replace({ cache: cache! });
    }
  } finally {
    root.dispose();
  }
  const v = pieces[0]!.length / (ids.length * edges[1]!);
  return ids.flatMap((_, b) =>
    pieces.flatMap((piece, i) => {
      const width = (edges[i + 1]! - edges[i]!) * v;
      return [...piece.subarray(b * width, (b + 1) * width)];
    })
  );
}

const text = fc.array(fc.tuple(fc.nat(40), fc.nat(40)), { minLength: 2, maxLength: 10 });

for (const backendName of ALL_BACKENDS) {
  for (const name of ["gpt2", "llama3_rope", "mistral_window", "qwen2", "qwen3", "smollm3", "gemma3"]) {
    Deno.test(`forward() gives the same logits with a cache and without on ${name} (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        assertNoLeak(async () => {
          const model = await loadModel(`${GOLDEN}models/${name}`, { backend });
          const property = fc.asyncProperty(
            text,
            fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }),
            fc.option(fc.nat(5)),
            async (columns, points, padding) => {
              const ids = [columns.map(([a]) => a), columns.map(([, b]) => b)];
              const cuts = [...new Set(points.filter((p) => p < columns.length))].sort((a, b) => a - b);
              const left = Math.min(padding ?? 0, columns.length - 1);
              const mask = padding === null
                ? undefined
                : ids.map((row, b) => row.map((_, t) => b === 1 && t < left ? 0 : 1));
              const whole = await inPieces(model, ids, mask, []);
              const pieces = await inPieces(model, ids, mask, cuts);
              // A query on padding sees nothing real: its result does not matter.
              const v = whole.length / (2 * columns.length);
              const hidden = (n: number): boolean => mask?.flat()[Math.floor(n / v)] === 0;
              // 1e-5: shapes of products, and with them the order of f32 sums, differ.
              assertClose(pieces.filter((_, n) => !hidden(n)), whole.filter((_, n) => !hidden(n)), 1e-5);
            },
          );
          try {
            await fc.assert(property, { numRuns: 12 });
          } finally {
            model.dispose();
          }
        })));
  }
}
