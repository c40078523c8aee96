/** Golden files that other programs wrote. */
import { existsSync } from "node:fs";
import type { Backend } from "../../core/mod.ts";
import { fromBytes, type Tensor } from "../../core/mod.ts";
import { openSafetensors } from "../../formats/safetensors.ts";

/** The folder of golden files. */
export const GOLDEN: string = new URL("../oracles/golden/", import.meta.url).pathname;

/** The scripts of tests/oracles that make adapter folders of HF PEFT with `case.json` and `expected.safetensors`. */
export const PEFT_FOLDERS: readonly string[] = [
  "peft_folders",
  "peft_reparam_folders",
  "peft_shared_vectors",
  "peft_skills",
  "peft_subspace",
  "peft_updates",
];

/** The same for methods that change the text's inputs or mix adapters. */
export const PEFT_PROMPT_FOLDERS: readonly string[] = ["peft_prompt_folders", "peft_tasks"];

/** Where a case lies below `GOLDEN`: in the folder of the one of these scripts that made it. */
export function madeBy(scripts: readonly string[], name: string): string {
  const found = scripts.map((script) => `${script}/${name}`).filter((path) => existsSync(GOLDEN + path));
  if (found.length === 0) {
    throw new Error(
      `No golden ${name}: run the script of tests/oracles that makes it, into golden/ below the script's name`,
    );
  }
  if (found.length > 1) {
    throw new Error(`${name} must be made by one script but is by ${found.join(" and ")}`);
  }
  return found[0]!;
}

/** The file of a method's case, below `GOLDEN`. */
export function methodFile(name: string): string {
  const scripts = [...Deno.readDirSync(GOLDEN)].filter(({ isDirectory }) => isDirectory);
  return madeBy(scripts.map(({ name }) => name), `${name}.safetensors`);
}

/** The cases of these scripts that are folders with a `case.json`, by name: where they lie below `GOLDEN`. */
export function caseFolders(scripts: readonly string[]): ReadonlyMap<string, string> {
  const paths = scripts.flatMap((script) =>
    [...Deno.readDirSync(GOLDEN + script)].map(({ name }) => [name, `${script}/${name}`] as const)
  ).filter(([, path]) => existsSync(`${GOLDEN}${path}/case.json`));
  const cases = new Map(paths.sort(([a], [b]) => a < b ? -1 : 1));
  if (cases.size < paths.length) throw new Error(`Two of ${scripts.join(", ")} make a folder of one name`);
  return cases;
}

/** The f32 tensors of a safetensors file as numbers, by name. */
export function goldenNumbers(path: string): ReadonlyMap<string, Float32Array> {
  const file = openSafetensors(`${GOLDEN}${path}`);
  try {
    return new Map([...file.tensors.values()].map((t) => [t.name, new Float32Array(t.read().buffer)]));
  } finally {
    file.close();
  }
}

/** The tensors of a safetensors file on a backend, by name. */
export function goldenTensors(path: string, backend: Backend): ReadonlyMap<string, Tensor> {
  const file = openSafetensors(`${GOLDEN}${path}`);
  try {
    return new Map(
      [...file.tensors.values()].map((t) => [t.name, fromBytes(t.read(), t.shape, t.dtype, backend)]),
    );
  } finally {
    file.close();
  }
}
