/**
 * OpenAI's client from PyPI talks to a server of this process. A step of its own, since it installs the package into a
 * virtual environment first: `deno run -A tests/serve/python.ts [environment]`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { served } from "./served.ts";

async function run(command: string, args: readonly string[], input = ""): Promise<string> {
  const child = new Deno.Command(command, { args: [...args], stdin: "piped", stdout: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { code, stdout } = await child.output();
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with code ${code}`);
  return new TextDecoder().decode(stdout);
}

const environment = Deno.args[0] ?? Deno.makeTempDirSync({ prefix: "graft-openai-" });
try {
  await run("python3", ["-m", "venv", environment]);
  await run(`${environment}/bin/pip`, ["install", "--quiet", "--disable-pip-version-check", "openai"]);
  const script = new URL("./openai_client.py", import.meta.url).pathname;
  await served(async ({ url, model, alone }) => {
    const requests = ["base", "low", "soft", "base:low"].map((name, i) => ({
      ...{ model: name, prompt: "sun and sea".slice(i), max_tokens: 12, temperature: 0 },
    }));
    const found = JSON.parse(await run(`${environment}/bin/python`, [script, url], JSON.stringify(requests)));
    const { tokenizer } = model;
    for (const [i, { model: name, prompt, max_tokens }] of requests.entries()) {
      const adapter = [null, "low", "soft", "low"][i] ?? null;
      const text = await alone(adapter, tokenizer.encode(prompt), max_tokens);
      assert.equal(found.whole[i].text, text, name);
      assert.equal(found.streamed[i], text, name);
      const chat = tokenizer.chat([{ role: "user", content: prompt }], { addGenerationPrompt: true });
      const ids = tokenizer.encode(chat, { addSpecialTokens: false });
      assert.equal(found.chat[i], await alone(adapter, ids, max_tokens), name);
    }
    assert.deepEqual(found.models, ["tiny", "low", "soft"]);
    assert.equal(found.refused, "model_not_found");
    console.log(
      `openai ${found.version} (Python): ${3 * requests.length} answers are as generate writes them`,
    );
  }, { rows: 5, queue: 20 });
} finally {
  if (Deno.args[0] === undefined) Deno.removeSync(environment, { recursive: true });
}
