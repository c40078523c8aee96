/** Vectors over HTTP, by OpenAI's own client and by hand. */
import assert from "node:assert/strict";
import OpenAI from "openai";
import { graft } from "../../core/mod.ts";
import { embedderOf, embedTexts } from "../../io/sentence_transformers.ts";
import type { VectorMaker } from "../../serve/embeddings.ts";
import { assertClose } from "../support/assert.ts";
import { served } from "./served.ts";

const TEXTS = ["cat and dog", "sun"];

Deno.test("openai's client gets the vectors of a base and of its adapters", () => {
  const vectors: { embed: VectorMaker["embed"] } = { embed: () => Promise.reject(new Error("not yet")) };
  return served(async ({ url, model, adapters }) => {
    const of = (adapter: string | null) =>
      embedderOf(adapter === null ? model : graft(model, adapters[adapter]!), { pooling: "last" });
    vectors.embed = async (texts, adapter) => ({ vectors: await embedTexts(of(adapter), texts), tokens: 7 });
    const client = new OpenAI({ baseURL: url, apiKey: "any", maxRetries: 0 });
    for (const [name, adapter] of [["tiny", null], ["low", "low"]] as const) {
      const expected = await embedTexts(of(adapter), TEXTS);
      for (const encoding_format of [undefined, "float"] as const) { // the client itself asks for base64
        const found = await client.embeddings.create({
          model: name,
          input: TEXTS,
          ...encoding_format && { encoding_format },
        });
        assert.deepEqual(found.data.map(({ index }) => index), [0, 1]);
        found.data.forEach(({ embedding }, i) => assertClose(embedding, expected[i]!, 1e-6));
        assert.deepEqual([found.object, found.model, found.usage], ["list", name, {
          prompt_tokens: 7,
          total_tokens: 7,
        }]);
      }
    }
  }, { vectors });
});

Deno.test("what is invalid is named, and a server without vectors says so", () =>
  served(async ({ url }) => {
    const ask = async (body: unknown) => {
      const headers = { "content-type": "application/json" };
      const response = await fetch(`${url}/embeddings`, {
        method: "POST",
        headers,
        body: JSON.stringify(body),
      });
      return [response.status, (await response.json()).error.message] as const;
    };
    assert.deepEqual(await ask({ model: "tiny", input: "a" }), [404, "This server makes no vectors"]);
    for (
      const [body, message] of [
        [{ model: "tiny" }, /"input" to be a text or several/],
        [{ model: "tiny", input: [1, 2] }, /"input" to be a text/],
        [{ model: "tiny", input: "a", encoding_format: "hex" }, /"encoding_format"/],
        [{ model: "tiny", input: "a", dimensions: 8 }, /"dimensions": 8 is not supported/],
        [{ input: "a" }, /"model"/],
      ] as const
    ) {
      const [status, said] = await ask(body);
      assert.equal(status, 400);
      assert.match(said, message);
    }
    assert.equal((await ask({ model: "none", input: "a" }))[0], 404);
  }));
