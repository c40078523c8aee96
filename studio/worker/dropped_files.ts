/** Files that are dropped on the page: which make a model, and which are known from before. */
/// <reference lib="dom" />
import { typeError } from "../../errors/error.ts";
import { bytesIn, type FileNode, type FolderNode } from "../files/volume.ts";

/** Bytes from the start that tell files apart: the header of weights. */
const HEAD = 1 << 16;

/** Whether a file is the one that was dropped earlier, by its size and its start. */
export async function isSame(known: FileNode | FolderNode | undefined, file: File): Promise<boolean> {
  if (known?.kind !== "file" || known.size !== file.size) return false;
  const head = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  return bytesIn(known, 0, HEAD).every((byte, i) => byte === head[i]);
}

/** The name under which files are known. @throws {TypeError} where they are no model. */
export function placeOf(files: readonly File[]): string {
  const names = files.map(({ name }) => name);
  const [first] = names;
  if (first === undefined) throw typeError("FILE_NOT_FOUND", "Expected a file but found none");
  if (names.length === 1 && first.endsWith(".gguf")) return first;
  const pickle = names.find((name) => /\.(bin|pt|pth|ckpt|pkl)$/.test(name));
  const weights = names.filter((name) => name.endsWith(".safetensors"));
  if (weights.length === 0) {
    throw typeError(
      pickle === undefined ? "FILE_UNSUPPORTED" : "PICKLE_REFUSED",
      pickle === undefined
        ? `${first} is no model: drop a .gguf file, or a checkpoint's config.json, tokenizer.json and .safetensors files together`
        : `${pickle} is a pickle file, which can run code when it is read: convert it to safetensors first`,
    );
  }
  const missing = ["config.json", "tokenizer.json"].filter((name) => !names.includes(name));
  if (missing.length > 0) {
    throw typeError(
      "FILE_NOT_FOUND",
      `${weights[0]} alone is no model: drop ${missing.join(" and ")} of the same checkpoint with it`,
    );
  }
  return "model";
}
