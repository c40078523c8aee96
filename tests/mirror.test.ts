/** Tests mirror the tree: a test file for each method, and for each test file a source of its name. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as methods from "../methods/mod.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Rooms below which a test file has the path of its source. */
const ROOMS = [
  "errors",
  "elementary",
  "platform",
  "tensor",
  "ops",
  "numerics",
  "core",
  "methods",
  "models",
  "formats",
  "train",
  "recipes",
  "io",
  "serve",
  "tuning",
  "worker",
  "cli",
  "browser",
  "embedded",
  "studio",
  "tools",
] as const;

/** Endings of sources: modules, kernels of the crate, data. A folder is the source of a test of its name, too. */
const ENDINGS = [".ts", ".tsx", ".rs", ".jsonl", ""];

/** Test files that are about no single source, and what they are about. */
const WITHOUT_A_SOURCE: Readonly<Record<string, string>> = {
  "core/unkept_model": "every function that takes a model leaves one that nothing keeps as it was",
  "io/bitsandbytes_decoded": "4-bit checkpoints rounded to the dtype that they state, beside bitsandbytes",
  "io/aborting": "loading and downloads that a signal ends",
  "io/bounds": "a count above its bound in any file is refused at once",
  "io/gradient_trees": "gradients in the place of parameters, by every method and format",
  "io/named_folders": "folders that an adapter's files name",
  "io/adapterhub/heads": "heads of AdapterHub folders, loaded and saved again",
  "embedded/desks": "the data of the desks",
  "ops/tall_factors": "factorisations by any backend, of the shapes that wasm factors in a way of its own",
  "ops/gpu/parts": "operands larger than a binding, through every family of kernels",
  "ops/gpu/product_forms": "products with a low-rank term in one pass, and products of f16",
  "ops/reference/gradients": "every derivative kernel against differences of its forward kernel",
  "ops/wasm/rows": "reductions, norms and softmax, which the crate has in several files",
  "methods/quantized_gpt2": "every method on a quantized GPT-2",
  "methods/combinators": "methods made from methods",
  "methods/generation": "generating under edits of cache, mask and positions",
  "methods/random_compositions": "compositions that are drawn",
  "methods/targets": "how all methods of layers take their targets",
  "models/golden": "every decoder against transformers",
  "models/encoders": "every encoder against transformers and PEFT",
  "models/encoder_edits": "prompts, prefixes and adapters on every encoder",
  "models/encoder_saving": "every encoder saved and loaded again",
  "models/minilm": "a published checkpoint, where there is one",
  "formats/tokenizer_chat": "chats through tokenizer and template",
  "formats/tokenizer_gguf": "tokenizers of GGUF files beside llama.cpp",
  "formats/tokenizer_thousand": "a thousand texts through every tokenizer",
  "train/objectives/trl": "every objective beside TRL",
  "train/labelled": "classification, tagging and scoring from file to score",
  "train/gpu_training": "training on a GPU beside wasm",
  "train/gpu_half_training": "training on a GPU with products in f16",
  "train/aborting": "training and reading of data that a signal ends",
  "recipes/selective_stages": "the stages of DiffPruning, LT-SFT and FAR",
  "io/adapterhub/conversions": "folders of PEFT and AdapterHub turned into each other",
  "io/adapterhub/folders": "every folder that AdapterHub wrote",
  "io/adapterhub/gradients": "training from every such folder",
  "io/adapterhub/merged": "merging every such folder",
  "io/adapterhub/refused": "folders that do not fit",
  "io/adapterhub/vera": "VeRA's own numbers through AdapterHub's folders",
  "io/peft/folders": "every folder that PEFT wrote",
  "io/peft/vllm": "folders that vLLM's own reader judged",
  "io/peft/prompts": "folders of soft prompts that PEFT wrote",
  "io/bitsandbytes_gpt2": "a GPT-2 that transformers quantized",
  "io/bitsandbytes_halves": "16-bit checkpoints under rarely set options",
  "io/convert_round": "every PEFT folder to our own form and back",
  "io/former_leaves": "folders of former versions",
  "io/frozen_version_1": "adapters and checkpoints that version 1 wrote",
  "io/frozen_version_2": "adapters and checkpoints that version 2 wrote",
  "io/gguf_q8_products": "rounded inputs beside llama.cpp",
  "io/gguf_q8_text": "greedy text beside llama.cpp",
  "io/gguf_tokenizer_of_file": "a GGUF file's tokenizer wherever it is asked for",
  "serve/openai": "OpenAI's own client",
  "cli/bad_data": "data that nobody can train on, and what is said of it",
  "cli/finetune_methods": "fine-tuning by every method",
  "cli/finetune/every_objective": "every objective by every method, resumed, in sweeps and packed",
  "cli/gpu": "every command on a GPU",
  "cli/help": "what the command line says of itself",
  "cli/labelled": "tasks with labels through the command line",
  "cli/ladder": "where a ladder starts",
  "cli/method_options": "forms of methods through the command line and back",
  "cli/native": "every command on the native backend",
  "cli/usage": "what all commands refuse",
};

/** Folders whose crate's sources stand further down. */
const DEEPER: Readonly<Record<string, string>> = { "ops/wasm": "ops/wasm/crate/src" };

/** Paths below the root, without endings, of the test files of a room. */
function testsOf(room: string): readonly string[] {
  const folder = `${ROOT}tests/${room}`;
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".test.ts")).map((path) =>
      `${room}/${path.slice(0, -".test.ts".length)}`
    );
}

/** Whether a source has a test file's path. */
export function hasSource(path: string): boolean {
  const [folder, name] = [path.slice(0, path.lastIndexOf("/")), path.slice(path.lastIndexOf("/") + 1)];
  return [folder, ...folder in DEEPER ? [DEEPER[folder]!] : []]
    .some((where) => ENDINGS.some((ending) => existsSync(`${ROOT}${where}/${name}${ending}`)));
}

/** Names of exported functions that say that they return a method, or an adapter prepared with its base, and of factories. */
export function factoriesIn(source: string): readonly string[] {
  return source.split(/^(?=export )/m).flatMap((text) => {
    const defined = /^export const (\w+): DefinedMethod</.exec(text)?.[1];
    if (defined !== undefined) return [defined];
    const name = /^export (?:async )?function (\w+)/.exec(text)?.[1];
    const [body = ""] = text.split("\n}\n");
    const isFactory = /^(?:export .*)?\): (?:Promise<)?(?:Method|\w*Prepared)\b/m.test(body);
    return name !== undefined && isFactory ? [name] : [];
  });
}

Deno.test("factories are told by what they return", () => {
  const source = `export function one(options: Options = {}): Method {
  return {};
}

function two(): Method {
  return {};
}

export async function three<M extends Model>(
  model: M,
): Promise<Prepared<M>> {
  const inner = (): Method => one();
}

export function four(method: Method): Counts {
  return (): Method => method;
}

export const five: DefinedMethod<Options> = defineMethod({});

export const six: Method = five();
`;
  assert.deepEqual(factoriesIn(source), ["one", "three", "five"]);
});

Deno.test("every method has a test file of its name", () => {
  const families = readdirSync(`${ROOT}methods`, { withFileTypes: true })
    .filter((entry) => entry.isDirectory()).map(({ name }) => `methods/${name}`);
  const files = families.flatMap((family) =>
    readdirSync(`${ROOT}${family}`).filter((name) => name.endsWith(".ts")).map((name) => `${family}/${name}`)
  );
  const ofMethods = files.filter((path) =>
    factoriesIn(readFileSync(`${ROOT}${path}`, "utf8")).some((name) => name in methods)
  );
  assert.ok(ofMethods.length > 75, `${ofMethods.length} files of methods`);
  const untested = ofMethods.map((path) => `tests/${path.replace(/\.ts$/, ".test.ts")}`)
    .filter((path) => !existsSync(`${ROOT}${path}`));
  assert.deepEqual(untested, []);
});

Deno.test("every test file of a room has a source of its name, or is listed with what it is about", () => {
  const tests = ROOMS.flatMap(testsOf);
  assert.ok(tests.length > 200, `${tests.length} test files`);
  assert.deepEqual(tests.filter((path) => !hasSource(path) && !(path in WITHOUT_A_SOURCE)), []);
  const idle = Object.keys(WITHOUT_A_SOURCE).filter((path) => !tests.includes(path) || hasSource(path));
  assert.deepEqual(idle, [], "listed without need");
});
