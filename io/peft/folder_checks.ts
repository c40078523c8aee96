/** Checks of the tensors of a PEFT folder before any is read. */
import { type Model, read, sameShape, scope, type Shape, showShape, type Tensor } from "../../core/mod.ts";
import { transpose } from "../../ops/mod.ts";
import { otherVersion, type PeftConfig } from "../../formats/peft_config.ts";
import { withoutPrefix } from "../../formats/peft_keys.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { equalValues, loadTensor } from "../stored_values.ts";
import type { BaseTable } from "./base.ts";
import type { FolderParts } from "./folder_parts.ts";
import type { FolderLayout } from "./layout.ts";
import { rangeError } from "../../errors/error.ts";

/** A folder's tensors by their keys, without PEFT's prefix. */
export type Stored = ReadonlyMap<string, StoredTensor>;

/** Checks that exactly the expected keys are present, with their shapes and number types. */
export function checkKeys(
  folder: string,
  { fields }: PeftConfig,
  layout: FolderLayout,
  tables: readonly BaseTable[],
  stored: Stored,
): void {
  const shapes = new Map<string, Shape>(layout.tensors.map((t) => [t.key, t.stored ?? t.shape]));
  const integers = new Set(layout.tensors.filter((t) => t.below !== undefined).map((t) => t.key));
  const optional = new Map<string, Shape>([
    ...layout.copies.map(({ key, of }) => [key, shapes.get(of)!] as const),
    ...layout.originals.map(({ key, leaf }) => [key, shapes.get(leaf)!] as const),
    ...tables.map(({ key, shape }) => [key, shape] as const),
  ]);
  const problems = [
    ...[...shapes.keys()].filter((key) => !stored.has(key)).map((key) => `"${key}" is missing`),
    ...[...stored.values()].flatMap(({ name, shape, dtype }) => {
      const expected = shapes.get(withoutPrefix(name)) ?? optional.get(withoutPrefix(name));
      if (expected === undefined) return [`"${name}" is not expected`];
      // PEFT on Windows writes integers as f32: `checkPlaces` reads them.
      if ((dtype === "i32" || dtype === "u8") && !integers.has(withoutPrefix(name))) {
        return [`"${name}" holds integers, not weights (${dtype})`];
      }
      return sameShape(shape, expected)
        ? []
        : [`"${name}": expected ${showShape(expected)} but found ${showShape(shape)}`];
    }),
  ];
  if (problems.length === 0) return;
  const base = fields["base_model_name_or_path"];
  throw rangeError(
    "ADAPTER_MISMATCH",
    `Cannot load "${folder}" for this model (its base was ${base ?? "not recorded"}): ${
      problems.slice(0, 6).join("; ")
    }${problems.length > 6 ? `; and ${problems.length - 6} more` : ""}${otherVersion(fields)}`,
  );
}

/** Checks that a tied tensor that is stored twice is equal in both places. */
export async function checkCopies(layout: FolderLayout, stored: Stored, model: Model): Promise<void> {
  for (const { key, of, shared } of layout.copies) {
    const copy = stored.get(key);
    if (
      copy !== undefined &&
      !await equalValues(() => loadTensor(copy, model), () => loadTensor(stored.get(of)!, model))
    ) {
      throw rangeError(
        "ADAPTER_MISMATCH",
        shared === undefined
          ? `"${key}" differs from "${of}", but the model ties the two: load the adapter for an untied model`
          : `"${key}" differs from "${of}", but the layers share one: no method has one for each`,
      );
    }
  }
}

/** Checks that positions are valid integer row and column indices. */
export async function checkPlaces(layout: FolderLayout, stored: Stored, model: Model): Promise<void> {
  for (const { key, shape, below } of layout.tensors) {
    if (below === undefined) continue;
    const found = loadTensor(stored.get(key)!, model);
    const numbers = await read(found);
    found.storage.free();
    const n = numbers.length / shape[0]!;
    const at = numbers.findIndex((x, i) => !(Number.isInteger(x) && x >= 0 && x < below[Math.floor(i / n)]!));
    if (at === -1) continue;
    throw rangeError(
      "FILE_INVALID",
      `Expected whole numbers from 0 to below ${below[Math.floor(at / n)]} in row ${
        Math.floor(at / n)
      } of "${key}" but found ${numbers[at]}`,
    );
  }
}

/** Checks that tensors that PEFT writes as zeros, and would otherwise add, are zero. */
export async function checkZeros(layout: FolderLayout, stored: Stored, model: Model): Promise<void> {
  for (const { key } of layout.tensors.filter(({ zeros }) => zeros)) {
    const found = loadTensor(stored.get(key)!, model);
    const numbers = await read(found);
    found.storage.free();
    if (numbers.some((x) => x !== 0)) {
      throw rangeError("FILE_INVALID", `Expected zeros in "${key}" but found other numbers`);
    }
  }
}

/**
 * PEFT stores LoRA's factors of an embedding and its tied head in shared storage, and writes both. They are
 * loaded as separate factors, of which PEFT's own reload would lose one where they differ.
 */
export async function checkShared({ shared = [] }: FolderParts, stored: Stored, model: Model): Promise<void> {
  for (const [embedding, head] of shared) {
    for (
      const [one, other] of [
        [`${embedding}.lora_embedding_A`, `${head}.lora_B.weight`],
        [`${embedding}.lora_embedding_B`, `${head}.lora_A.weight`],
      ] as const
    ) {
      const transposed = (): Tensor => scope(() => transpose(loadTensor(stored.get(one)!, model)));
      if (await equalValues(transposed, () => loadTensor(stored.get(other)!, model))) continue;
      throw rangeError(
        "ADAPTER_MISMATCH",
        `"${other}" is not the transpose of "${one}", though ensure_weight_tying makes them one in PEFT: set it to false to ` +
          "have both",
      );
    }
  }
}
