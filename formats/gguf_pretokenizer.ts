/** How a GGUF file's pre-tokenizer, which it names, splits text into words. */
import { GPT2_PATTERN, lettersOrDigits } from "./tokenizer_split.ts";
import { typeError } from "../errors/error.ts";

const TEKKEN_WORD = (end: string): string =>
  `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+${end}|` +
  `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*${end}|`;

/** The meaning of a pre-tokenizer name. */
export interface Pre {
  /** Patterns that split the text, applied one after the other. */
  readonly patterns: readonly string[];
  /** A word that is a token is kept whole, regardless of the merges. */
  readonly ignoreMerges?: boolean;
  /** Whether a text begins with BOS when the file does not specify it. */
  readonly addBos?: boolean;
  /** Whether the text is first normalized to NFC. */
  readonly nfc?: boolean;
}

/**
 * The pre-tokenizers by their llama.cpp names. A file without a name, or with "default", predates these
 * names: it gets GPT-2's pattern.
 */
export function preOf(name: string): Pre {
  switch (name) {
    case "default":
    case "gpt-2":
    case "phi-2":
    case "mpt":
    case "olmo":
    case "jais":
    case "roberta-bpe":
    case "jina-es":
    case "jina-de":
      return { patterns: [GPT2_PATTERN] };
    case "smollm":
    case "starcoder":
    case "refact":
    case "command-r":
    case "codeshell":
    case "exaone":
    case "minerva-7b":
      return { patterns: ["\\p{N}", GPT2_PATTERN] };
    case "llama3":
    case "llama-v3":
    case "llama-bpe":
    case "falcon3":
      return { patterns: [lettersOrDigits("\\p{N}{1,3}")], ignoreMerges: true, addBos: true };
    case "dbrx":
    case "smaug-bpe":
    case "chatglm-bpe":
    case "glm4":
      return { patterns: [lettersOrDigits("\\p{N}{1,3}")] };
    case "qwen2":
    case "deepseek-r1-qwen":
      return { patterns: [lettersOrDigits("\\p{N}")], nfc: true };
    case "stablelm2":
    case "hunyuan":
      return { patterns: [lettersOrDigits("\\p{N}")] };
    case "tekken":
      return {
        patterns: [
          TEKKEN_WORD("") + "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        ],
        ignoreMerges: true,
        addBos: true,
      };
    case "gpt-4o":
    case "llama4":
      return {
        patterns: [
          TEKKEN_WORD("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?") +
          "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        ],
      };
    default:
      throw typeError(
        "TOKENIZER_UNSUPPORTED",
        `Expected tokenizer.ggml.pre to name a known pre-tokenizer (such as gpt-2, smollm, llama-bpe, qwen2, tekken) ` +
          `but found "${name}"; pass { pre } with the one that splits alike`,
      );
  }
}
