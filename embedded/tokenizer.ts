/** The embedded model's tokenizer: byte-level BPE trained on the generated texts, with a chat template. */
import { key } from "../core/mod.ts";
import { type TokenizerJson, trainBpe } from "./bpe.ts";
import { trainingText } from "./curriculum.ts";

/** Special tokens: the end of a text, and the speakers. */
export const SPECIAL = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>"] as const;

/** Total number of tokens. */
export const VOCABULARY = 2048;

/** tokenizer_config.json. */
export const TOKENIZER_CONFIG: Readonly<Record<string, string | number>> = {
  tokenizer_class: "PreTrainedTokenizerFast",
  eos_token: "<|endoftext|>",
  pad_token: "<|endoftext|>",
  model_max_length: 512,
  chat_template:
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '\n' }}" +
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
};

/** Trains the tokenizer on the first texts that the model reads. Deterministic. */
export function trainTokenizer(seed: number, texts: number): TokenizerJson {
  return trainBpe(Array.from({ length: texts }, (_, i) => trainingText(key(seed), i)), {
    vocabulary: VOCABULARY,
    special: SPECIAL,
    digits: "single",
  });
}
