/**
 * docs/first_adapter.md, followed to the letter: its files are written, its commands run in their order by a shell. The hub is a
 * local server with the embedded model, and for Ollama a program stands in that looks at what it is given.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "../cli/tiny.ts";
import { blocksOf } from "./blocks.ts";
import { hubOf } from "./hub_server.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");
const FILE = "docs/first_adapter.md";

/** Creates a model from a Modelfile whose weights are a GGUF file, and runs only what was created. */
const OLLAMA = `#!/bin/sh
set -e
case "$1" in
  create)
    weights=$(sed -n 's/^FROM //p' "$4")
    [ "$(head -c 4 "$weights")" = GGUF ] || { echo "no GGUF file: $weights" >&2; exit 1; }
    touch "created-$2" ;;
  run) [ -e "created-$2" ] || { echo "no model $2" >&2; exit 1; } ;;
  *) exit 2 ;;
esac
`;

Deno.test("every command of docs/first_adapter.md runs, in its order", async () => {
  using folder = temporaryFolder();
  await using hub = hubOf(`${ROOT}/embedded/model`);
  const [home, work] = [`${folder.path}/home`, `${folder.path}/work`];
  for (const path of [`${home}/bin`, work]) mkdirSync(path, { recursive: true });
  writeFileSync(`${home}/bin/ollama`, OLLAMA, { mode: 0o755 });
  const env = {
    PATH: `${home}/bin:${dirname(Deno.execPath())}:${Deno.env.get("PATH")}`,
    DENO_INSTALL_ROOT: home,
    HF_ENDPOINT: hub.endpoint,
    HF_HOME: `${home}/hub`,
    GRAFT_BACKEND: "wasm",
    NO_COLOR: "1",
  };
  const blocks = blocksOf(FILE, readFileSync(`${ROOT}/${FILE}`, "utf8"));
  let ran = 0;
  for (const { language, text, line } of blocks) {
    if (language === "jsonl") writeFileSync(`${work}/train.jsonl`, text);
    else if (language === "text") writeFileSync(`${work}/Modelfile`, text);
    else {
      assert.equal(language, "sh", `${FILE}:${line}`);
      const cwd = text.startsWith("deno install") ? ROOT : work;
      const { code, stderr } = await new Deno.Command("bash", { args: ["-ec", text], cwd, env }).output();
      assert.equal(code, 0, `${FILE}:${line}: ${new TextDecoder().decode(stderr)}`);
      ran++;
    }
  }
  assert.ok(ran >= 8, `${ran} blocks`);
  assert.ok(existsSync(`${work}/tickets/adapter_model.safetensors`));
  assert.ok(existsSync(`${work}/created-tickets`));
});
