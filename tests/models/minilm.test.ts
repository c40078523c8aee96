/**
 * The real all-MiniLM-L6-v2 gives the embeddings that Python gives (tests/oracles/minilm.py says how to get it). Runs where
 * the environment variable GRAFT_MINILM names its folder.
 */
import assert from "node:assert/strict";
import { read } from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { embed } from "../../models/embed.ts";
import { assertNoLeak } from "../support/assert.ts";
import { withBackend } from "../support/backends.ts";
import { GOLDEN } from "../support/golden.ts";

const folder = Deno.env.get("GRAFT_MINILM") ?? "";

Deno.test({
  name: "embed() gives MiniLM's embeddings as Python does",
  ignore: folder === "",
  fn: () =>
    withBackend("wasm", (backend) =>
      assertNoLeak(async () => {
        const { texts, ids, embeddings } = JSON.parse(await Deno.readTextFile(`${GOLDEN}minilm.json`));
        const model = await loadModel(folder, { backend });
        const rows = (texts as readonly string[]).map((text) => model.tokenizer.encode(text));
        assert.deepEqual(rows, ids);
        const width = Math.max(...rows.map((row) => row.length));
        const padded = (value: (id: number) => number): readonly (readonly number[])[] =>
          rows.map((row) => [...row.map(value), ...new Array<number>(width - row.length).fill(0)]);
        const found = embed(model, { inputIds: padded((id) => id), attentionMask: padded(() => 1) });
        const numbers = await read(found);
        // 1e-4 absolute: the vectors have length 1.
        embeddings.flat().forEach((x: number, i: number) => assert.ok(Math.abs(x - numbers[i]!) < 1e-4));
        found.storage.free();
        model.dispose();
      })),
});
