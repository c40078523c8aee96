/** A tiny model with a tokenizer in a folder of its own, data for it, and the command line as a subprocess. */
import assert from "node:assert/strict";
import { openSafetensors } from "../../formats/safetensors.ts";
import { GOLDEN } from "../support/golden.ts";

const LETTERS = "abcdefghijklmnopqrstuvwxyz .:,!?\n";
const SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"];

/** A folder that is removed when it is disposed. */
export function temporaryFolder(): { readonly path: string } & Disposable {
  const path = Deno.makeTempDirSync({ prefix: "graft-cli-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

/** The golden Llama (37 tokens, context 64) with one token per letter and a chat template. */
export function tinyModel(folder: string): string {
  const path = `${folder}/model`;
  Deno.mkdirSync(path);
  for (const name of ["config.json", "model.safetensors"]) {
    Deno.copyFileSync(`${GOLDEN}llama_lora/base/${name}`, `${path}/${name}`);
  }
  const vocab = Object.fromEntries([...SPECIAL, ...LETTERS].map((token, id) => [token, id]));
  const json = {
    version: "1.0",
    added_tokens: SPECIAL.map((content, id) => ({
      id,
      content,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    })),
    normalizer: { type: "Lowercase" },
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: "Fuse" },
    model: { type: "BPE", vocab, merges: [], unk_token: "<unk>", fuse_unk: false, byte_fallback: false },
  };
  Deno.writeTextFileSync(`${path}/tokenizer.json`, JSON.stringify(json));
  Deno.writeTextFileSync(
    `${path}/tokenizer_config.json`,
    JSON.stringify({
      pad_token: "<pad>",
      bos_token: "<s>",
      eos_token: "</s>",
      unk_token: "<unk>",
      chat_template:
        "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}a:{% endif %}",
    }),
  );
  return path;
}

/** Prompts and completions, one JSON object per line. */
export function tinyData(folder: string, count = 12): string {
  const words = ["cat", "dog", "sun", "sea", "map", "tea"];
  const lines = Array.from({ length: count }, (_, i) => {
    const [a, b] = [words[i % 6]!, words[(i * 5 + 1) % 6]!];
    return JSON.stringify({ prompt: `${a} and ${b}:`, completion: ` ${b} ${a}` });
  });
  const path = `${folder}/data.jsonl`;
  Deno.writeTextFileSync(path, lines.join("\n") + "\n");
  return path;
}

/** Short dialogues with summaries. */
export function tinyDialogues(folder: string): string {
  const line = (a: string, b: string): string =>
    JSON.stringify({ dialogue: `ann: ${a}\nbob: ${b}`, summary: `${b} ${a}` });
  const path = `${folder}/dialogues.jsonl`;
  Deno.writeTextFileSync(path, [line("tea", "sun"), line("map", "sea"), line("dog", "cat")].join("\n"));
  return path;
}

/** What a command did. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const MAIN = new URL("../../cli/main.ts", import.meta.url).pathname;

/** The arguments of `deno` that start the command line. */
export function graftArguments(args: readonly string[]): string[] {
  return ["run", "-A", "--quiet", MAIN, ...args];
}

/**
 * Runs the command line to its end, in the folder `cwd` when one is given. "auto" means wasm, so that digits do not depend on
 * whether native kernels are built here.
 */
export async function graft(
  args: readonly string[],
  input?: string,
  cwd?: string,
  env: Readonly<Record<string, string>> = { GRAFT_BACKEND: "wasm" },
): Promise<Ran> {
  const child = new Deno.Command(Deno.execPath(), {
    args: graftArguments(args),
    env,
    ...cwd !== undefined && { cwd },
    stdin: input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
  }
  const { code, stdout, stderr } = await child.output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}

/** The tensors of a file, all f32. */
export function numbersOf(path: string): ReadonlyMap<string, Float32Array> {
  const file = openSafetensors(path);
  try {
    return new Map([...file.tensors].map(([name, tensor]) => {
      assert.equal(tensor.dtype, "f32", name);
      return [name, new Float32Array(tensor.read().slice().buffer)];
    }));
  } finally {
    file.close();
  }
}
