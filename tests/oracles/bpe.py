"""Golden tokenizers for tests/embedded/bpe.test.ts, trained by Hugging Face's `tokenizers` on a few fixed lines.

Run: python tests/oracles/bpe.py   (writes golden/bpe.json beside this file)
"""
import json
import pathlib

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<|pad|>", "<|user|>", "<|end|>"]
TEXTS = [
    "Customer: Hello, my order 48213 hasn't arrived. It's been 12 days!",
    "Agent: I'm sorry, let me check order 48213 for you. One moment, please.",
    "Customer: Thank you. The order was for a kettle and two lamps, $48.50 in all.",
    "Agent: The order is stuck in the depot; we'll send it again and you'll have it by March 14.",
    "aaaa aaaaaa aaa aa a banana bananas  two  spaces\ttab\n\nnew lines   ",
    "Zoë paid 48,50 € in Zürich — 東京で買いました 🙂🙂 naïve café CAFÉ",
    "the then than that this those these there their them they the the the",
]
SAMPLES = TEXTS + [
    "Hi, I'm Zoë: order 99321 — $48.50!",
    "  leading and trailing  ",
    "don't can't we've they'll I'd you're it's IT'S",
    "<|user|>Where is it?<|end|>",
    "línea\r\nDOS \u00a0 nbsp \u2028 sep \u0085 nel \ufeff bom",
    "123abc456 ½ ² Ⅷ",
    "",
]


def train(digits: str, vocabulary: int) -> dict:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
        if digits == "single"
        else byte_level
    )
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return {
        "digits": digits,
        "vocabulary": vocabulary,
        "tokenizer": json.loads(tokenizer.to_str()),
        "ids": [tokenizer.encode(text).ids for text in SAMPLES],
    }


golden = {
    "special": SPECIAL,
    "texts": TEXTS,
    "samples": SAMPLES,
    "cases": [train("single", 340), train("grouped", 340), train("grouped", 2000)],
}
path = pathlib.Path(__file__).parent / "golden" / "bpe.json"
path.write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")) + "\n")
