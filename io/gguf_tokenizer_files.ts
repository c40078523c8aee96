/** A GGUF file's tokenizer as the files of a folder, in one of two readings. */
import type { GgufFile } from "../formats/gguf.ts";
import { ggufTokenizerFiles } from "../formats/gguf_tokenizer.ts";
import type { TokenizerFiles } from "../formats/tokenizer.ts";

/**
 * The files, or undefined when there is no vocabulary.
 *
 * @param like "transformers": a Llama file with byte-level BPE splits like GPT-2 and starts a text with bos, whatever it says,
 *   as Python's loader has it. "file": as the file says, which is what llama.cpp does.
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
