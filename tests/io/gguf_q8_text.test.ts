/**
 * Greedy text of a model in Q8_0 beside llama.cpp's. Built with a BLAS it takes what meets such matrices as it is, and its text is ours
 * (tests/oracles/llama_cpp_unrounded.py). Its own kernels round that to 8 bits (tests/oracles/embedded_q8.py): where it moves two scores
 * past each other the token is a near tie, by llama.cpp's own scores with and without the rounding. Everywhere else the tokens are equal.
 */
import assert from "node:assert/strict";
import { forward, generateIds, read } from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { wasm } from "../../mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { digest, embeddedPrompts, MADE, writeEmbeddedQ8 } from "../support/embedded_q8.ts";
import { inFolder } from "../support/folder.ts";
import { GOLDEN } from "../support/golden.ts";

interface Row {
  readonly ids: readonly number[];
  /** llama.cpp's greedy tokens. */
  readonly made: readonly number[];
  /** Which of them are near ties. */
  readonly near: readonly number[];
}

const EXPECTED: { readonly digest: string; readonly rows: readonly Row[] } = JSON.parse(
  Deno.readTextFileSync(`${GOLDEN}embedded_q8.json`),
);

const UNROUNDED: { readonly digest: string; readonly rows: readonly Omit<Row, "near">[] } = JSON.parse(
  Deno.readTextFileSync(`${GOLDEN}llama_cpp_unrounded.json`),
);

/** The model's end of text. */
const END = 0;

/** A text with its end, where ours stops. */
function ended(made: readonly number[]): readonly number[] {
  const end = made.indexOf(END);
  return end < 0 ? made : made.slice(0, end + 1);
}

Deno.test("greedy text of the embedded model in Q8_0 is that of a llama.cpp which rounds no inputs", async () => {
  const backend = await wasm({ threads: 2 });
  await inFolder((folder) =>
    assertNoLeak(async () => {
      const path = `${folder}/embedded.gguf`;
      (await writeEmbeddedQ8(path, backend)).dispose();
      assert.equal(
        await digest(path),
        UNROUNDED.digest,
        "the golden text is of other weights: make it again",
      );
      const model = await loadModel(path, { backend });
      const texts = await generateIds(model, UNROUNDED.rows.map(({ ids }) => ids), { maxNewTokens: MADE });
      assert.deepEqual(texts, UNROUNDED.rows.map(({ made }) => ended(made)));
      model.dispose();
    })
  );
  backend.close();
});

Deno.test("greedy text of the embedded model in Q8_0 is llama.cpp's wherever no near tie decides", async () => {
  const backend = await wasm({ threads: 2 });
  await inFolder((folder) =>
    assertNoLeak(async () => {
      const path = `${folder}/embedded.gguf`;
      const source = await writeEmbeddedQ8(path, backend);
      assert.equal(await digest(path), EXPECTED.digest, "the golden text is of other weights: make it again");
      assert.deepEqual(embeddedPrompts(source), EXPECTED.rows.map(({ ids }) => ids));
      source.dispose();
      const model = await loadModel(path, { backend });
      let [sure, near] = [0, 0];
      for (const [n, { ids, made, near: ties }] of EXPECTED.rows.entries()) {
        const best = await bestAlong(model, [...ids, ...made.slice(0, -1)], ids.length - 1);
        made.forEach((token, i) => {
          if (ties.includes(i)) near++;
          else assert.equal(best[i], token, `prompt ${n}, token ${i}`), sure++;
        });
        const [text] = await generateIds(model, [ids], { maxNewTokens: MADE });
        const theirs = ended(made);
        const first = Math.min(...ties, theirs.length); // from here on the texts may part
        assert.deepEqual(text!.slice(0, first), theirs.slice(0, first), `prompt ${n}`);
      }
      assert.ok(near < 0.03 * (sure + near), `${near} near ties of ${sure + near}`);
      model.dispose();
    })
  );
  backend.close();
});

/** The likeliest token after each position from `from` on. */
async function bestAlong(
  model: Parameters<typeof forward>[0],
  inputIds: readonly number[],
  from: number,
): Promise<readonly number[]> {
  const { logits } = forward(model, { inputIds: [inputIds] });
  const [numbers, width] = [await read(logits), logits.shape[2]!];
  logits.storage.free();
  return Array.from({ length: inputIds.length - from }, (_, i) => {
    const row = numbers.subarray((from + i) * width, (from + i + 1) * width);
    return row.reduce((best, x, token) => x > row[best]! ? token : best, 0);
  });
}
