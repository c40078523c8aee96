"""A thousand awkward texts through the WordPiece and Unigram tokenizers of tokenizer_goldens.py, as transformers encodes them:
alone, as words of a sentence, and in pairs cut to a length.

    python tests/oracles/tokenizer_thousand.py
Writes tests/oracles/golden/tokenizer_thousand.json; transformers 4.57.
"""
import json, pathlib, random, tempfile
from transformers import PreTrainedTokenizerFast

GOLDEN = pathlib.Path("tests/oracles/golden")
MADE = GOLDEN / "tokenizer_goldens"
PIECES = json.loads((MADE / "texts.json").read_text())
random.seed(5)
BLOCKS = [(0x20, 0x7F), (0xA0, 0x180), (0x250, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE00), (0x1E00, 0x2070),
          (0x20A0, 0x2200), (0x2460, 0x2600), (0x3000, 0x3100), (0x4E00, 0x4F00), (0xAC00, 0xAD00), (0xF900, 0xFB50),
          (0xFE00, 0xFFFE), (0x1D400, 0x1D450), (0x1F300, 0x1F650), (0x20000, 0x20010)]
WORDS = "fine tuning adapter frozen model learns what lacks 1234 56,789.01 naïve café Straße dog's we'll".split()


def run(block):
    return "".join(chr(random.randrange(*block)) for _ in range(random.randint(1, 4)))


def text():
    kind = random.randrange(4)
    if kind == 0:
        return "".join(random.choice(PIECES) for _ in range(random.randint(2, 3)))[:60]
    if kind == 1:
        return "".join(run(random.choice(BLOCKS)) for _ in range(random.randint(1, 6)))
    if kind == 2:
        words = [random.choice(WORDS) for _ in range(random.randint(1, 5))]
        return "".join(w + random.choice([" ", "  ", "\t", "\u00a0", "-", "", "\u0301", "\u200b"]) for w in words)
    return random.choice([str.upper, str.lower, str.title, str.swapcase])(random.choice(PIECES) + run(random.choice(BLOCKS)))[:60]


texts = list(dict.fromkeys(text() for _ in range(1100)))[:1000]
assert len(texts) == 1000
SENTENCES = [["The", "dog", "doesn't", "sleep"], ["fine-tuning", "unaffordable"], ["x"], ["", "a", "\u200b", "b"],
             ["adapter", "Größe", "1234", "56,789.01", "of", "them"], ["模型学习", "ok"]]
result = {"texts": texts}
for name in ["bert_uncased", "bert_cased", "t5", "roberta"]:
    golden = json.loads((MADE / f"{name}.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        for file, part in [("tokenizer.json", "tokenizer"), ("tokenizer_config.json", "config"),
                           ("special_tokens_map.json", "specialTokens")]:
            (pathlib.Path(folder) / file).write_text(json.dumps(golden[part]))
        t = PreTrainedTokenizerFast.from_pretrained(folder)
    pairs = []
    for i in range(0, 120, 2):
        # Of odd sizes, so that either text is cut.
        longest = 5 + i % 23
        out = t(texts[i], texts[i + 1], truncation="longest_first", max_length=longest, return_token_type_ids=True)
        pairs.append([longest, out.input_ids, out.token_type_ids])
    result[name] = {"ids": [t(x, add_special_tokens=False).input_ids for x in texts] if name != "roberta" else [],
                    "pairs": pairs,
                    # Words of a sentence, cut at 9 tokens, and which word each token comes from.
                    "words": [[words, out.input_ids, out.word_ids()] for words in SENTENCES
                              for out in [t(words, is_split_into_words=True, truncation=True, max_length=9)]]}
(GOLDEN / "tokenizer_thousand.json").write_text(json.dumps(result, ensure_ascii=True, separators=(",", ":")) + "\n")
