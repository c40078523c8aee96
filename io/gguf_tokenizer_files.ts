/** A GGUF file's tokenizer as the files of a folder, in one of two interpretations. */
import type { GgufFile } from "../formats/gguf.ts";
import { ggufTokenizerFiles } from "../formats/gguf_tokenizer.ts";
import type { TokenizerFiles } from "../formats/tokenizer.ts";

/**
 * The files, or undefined when there is no vocabulary.
 *
 * @param like "transformers": a Llama file with byte-level BPE splits like GPT-2 and starts a text with bos,
 *   regardless of the file, as in Python's loader. "file": as the file specifies, like llama.cpp.
 */
export function tokenizerFilesOf(
  { metadata }: Pick<GgufFile, "metadata">,
  like: "transformers" | "file",
): TokenizerFiles | undefined {
  if (!metadata.has("tokenizer.ggml.tokens")) return undefined;
  const splitsLikeGpt2 = like === "transformers" && metadata.get("general.architecture") === "llama" &&
    metadata.get("tokenizer.ggml.model") === "gpt2";
  return splitsLikeGpt2
    ? ggufTokenizerFiles(new Map([...metadata, ["tokenizer.ggml.add_bos_token", true]]), { pre: "gpt-2" })
    : ggufTokenizerFiles(metadata);
}
