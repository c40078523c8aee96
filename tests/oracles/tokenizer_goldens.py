"""Golden files of tests/formats/tokenizer*.test.ts, made by Hugging Face tokenizers, transformers and sentencepiece.

    python tests/oracles/tokenizer_goldens.py [folder of SmolLM2-135M-Instruct.Q4_1.gguf]

Small vocabularies are trained here on a few lines, so that every file stays small; what matters is the pipeline around
them. With a folder, smollm2.json is made too: ids only, the vocabulary stays in the GGUF file.
"""
import io
import itertools
import json
import pathlib
import sys
import tempfile

import sentencepiece as spm
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers)
from transformers import AutoTokenizer, LlamaTokenizerFast, PreTrainedTokenizerFast, T5TokenizerFast

OUT = pathlib.Path(__file__).parent / "golden" / "tokenizer_goldens"

CORPUS = """The quick brown fox jumps over the lazy dog. The dog sleeps; the fox doesn't.
Fine-tuning adds a small adapter to a frozen model, and the adapter learns what the model lacks.
I'm sure you've seen it: we'll say they're done, he'd agree, it's 1234 or 56,789.01 of them.
Größe, Straße, naïve café, résumé, Ångström, El Niño, œuvre, İstanbul, ΟΔΟΣ, σοφός.
模型学习得很快。今天天气很好。日本語のテキストもあります。한국어 문장도 있습니다.
Привет, как дела? Это простая строка для обучения. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया।
def train(model, data):\n    for batch in data:\n        loss = model(batch)\n\treturn loss  # done
http://example.org/a?b=c&d=e#f user@example.org C:\\temp\\x.txt {"key": [1, 2.5, null]} <b>bold</b> 100% $5 €6
😀 😃 🎉 👍🏽 👨‍👩‍👧 ☃ ★ → ≤ ½ ² Ⅷ ①
\ufeff\ufeff \ufeff. \ufeffx \u0085\u0085 \u0085x .\u0085 \u00a0\u00a0x 12\u0661\u0662\u0663 \u0661\u0662\u0663 ½½ ½½½ ²² x²²""".split("\n") * 3

PIECES = [
    "", " ", "  ", "   ", "a", " a", "a ", "  a  b   c ", "\t", "\ta\tb", "\n", "\n\n", "a\n\n\nb", "\r\n", "a\r\nb\r\n", " \n \n x",
    "Hello world", " Hello  world ", "HELLO World's", "I'm you've WE'LL don't 'tis O'Neil’s", "The capital of France is",
    "123", "12345 67", "a1b22c333", "3.14159", "1,000,000", "x\n\n1. item\n\n2. item", "a  12  345", "½ ² Ⅷ ① ٣٤ ५६", "١٢٣",
    "Größe Straße naïve café", "cafe\u0301 nai\u0308ve", "A\u0301\u0327\u0323", "İstanbul ı ſ", "ΟΔΟΣ ΣΑΣ σοφός", "ẞ ß ŉ",
    "模型学习", "今天天气很好。", "日本語テキスト", "한국어 문장", "ｆｕｌｌｗｉｄｔｈ　ＡＢＣ～", "𠀀𠀁 𪚥", "ﬁ ﬂ ﬃ", "①②③",
    "Привет, как дела?", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "ภาษาไทย", "😀", "😀😃", "👍🏽", "👨‍👩‍👧‍👦", "🇫🇷🇩🇪", "a😀b", "☃ ★→≤",
    "\u200b", "a\u200bb", "a\u200db", "\ufeff", "\ufeffabc", "a\ufeffb", "\u00a0", "a\u00a0b", "\u2028a\u2029b", "\u3000a\u3000", "a\u0085b", "\u0085", "\u0085\u0085 \u0085x", "\ufeff\ufeff \ufeffx .\ufeff", "½½ x²² 12\u0661\u0662\u0663",
    "\x00", "a\x00b", "\x01\x02\x1f\x7f", "\x1b[31mred", "\u00ad-\u2011", "\u202ea\u202c", "\ufffd", "\ue000", "\u0378", "\U000e0041", "\U0010fffd",
    "!!!", "...", "a.b,c;d:e", "(a)[b]{c}", "--- *** ===", "a_b-c/d\\e", "$5 €6 100%", "`code` ~x~ ^y", "\"quoted\" 'single'", "«»„“”‘’…–—",
    "def f(x):\n    return x\n", "{\"key\": [1, 2.5, null]}", "http://example.org/a?b=c&d=e#f", "<b>bold</b>", "a" * 40, "ab" * 30, " " * 17, "\n" * 9, "é" * 9,
    "<s>", "</s>", "<unk>", "<pad>", "x<s>y</s> z", " <s> a </s> ", "<mask>", "a <mask> b", "<|im_start|>user\nhi<|im_end|>\n", "<|endoftext|>", "a<|endoftext|>b",
    "[CLS] a [SEP]", "[MASK] [UNK]", "<extra_id_0> a <extra_id_1>", "<0x41>", "▁", "a▁b", "▁a", "Ġ", "aĠbĊ", "##ing", "constructor __proto__ toString",
    "hello .  world , it 's n't", "unaffordable electroencephalograph", "ΑΒΓ абв ÀÉÎ", "x" * 120, "ab\U00050000c",
]
TEXTS = list(dict.fromkeys(PIECES))


def save(name, value):
    OUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    (OUT / f"{name}.json").write_text(text + "\n")
    print(name, len(text))


def encodings(tokenizer, texts=TEXTS):
    """ids with and without special tokens, and the decoded ids of the latter, with and without special tokens."""
    plain = [tokenizer(t, add_special_tokens=False).input_ids for t in texts]
    return {
        "special": [tokenizer(t).input_ids for t in texts],
        "plain": plain,
        "decoded": [tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in plain],
        "skipped": [tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) for ids in plain],
    }


def case(name, tokenizer):
    """Saves a transformers tokenizer as the files it would write, with what it answers."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = {p.name: json.loads(p.read_text()) for p in pathlib.Path(folder).glob("*.json")}
        again = AutoTokenizer.from_pretrained(folder)
        save(name, {"tokenizer": files["tokenizer.json"], "config": files["tokenizer_config.json"],
                    "specialTokens": files.get("special_tokens_map.json", {}), "size": len(again), **encodings(again)})


GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def byte_level(pre, specials, size=420, normalizer=None, **bpe):
    t = Tokenizer(models.BPE(**bpe))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=size, special_tokens=specials, show_progress=False,
                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


def split(regex):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def gpt2():
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"])


def smollm():
    return byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)]),
                      ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def llama3():
    t = byte_level(split(LLAMA3), ["<s>", "</s>", "<|im_start|>", "<|im_end|>"], ignore_merges=True)
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 0)])])
    return t


def qwen2():
    return byte_level(split(QWEN2), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], normalizer=normalizers.NFC())


def roberta():
    t = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), ["<s>", "<pad>", "</s>", "<unk>"])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=True)
    return t


def bert(lowercase):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=460, show_progress=False,
                          special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                     special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return t


def whitespace():
    """The parts that the others leave out: Whitespace, Punctuation, Lowercase, Strip, StripAccents, unk."""
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("isolated"), pre_tokenizers.Digits(False)])
    t.decoder = decoders.BPEDecoder("</w>")
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    return t


def sentencepiece(kind, **options):
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=model, model_type=kind, minloglevel=2, **options)
    return model.getvalue()


def llama2_files():
    return sentencepiece("bpe", vocab_size=640, byte_fallback=True, character_coverage=0.98, normalization_rule_name="identity",
                         remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True)


def write_model(data, folder, name):
    path = pathlib.Path(folder) / name
    path.write_bytes(data)
    return str(path)


# Written here in the manner of three families; only the manner is theirs.
TEMPLATES = {
    "llama3": """{{- bos_token }}
{%- for m in messages %}
    {%- if loop.first and m.role == 'system' %}{% set note = m.content | trim %}{% endif %}
    {{- '<|start|>' + m['role'] + '<|end|>\\n\\n' + m['content'] | trim + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant<|end|>\\n\\n' }}
{%- endif %}""",
    "qwen2": """{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content }}
{%- else %}
    {{- '<|im_start|>system\\nBe useful.' }}
{%- endif %}
{%- if tools %}
    {{- '\\n# Tools' }}
    {%- for tool in tools %}
        {{- '\\n' }}
        {{- tool | tojson }}
    {%- endfor %}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- for message in messages %}
    {%- if message.role != 'system' or not loop.first %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}""",
    "mistral": """{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}
{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% else %}{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}{{ unk_token }}""",
}
CHATS = [
    [("user", "Hello")], [("system", " Be brief.\n"), ("user", "  What is 2+2? "), ("assistant", "4"), ("user", "<b>&\"quoted\"</b> é 😀")],
    [("user", "a\n\nb"), ("assistant", ""), ("user", "{{ bos_token }} {% if %}")], [("user", "a"), ("assistant", "b\n")],
]


def chats(folder):
    templates = dict(TEMPLATES)
    t = PreTrainedTokenizerFast(tokenizer_object=llama3(), bos_token="<s>", eos_token="</s>")
    if folder:
        loaded = AutoTokenizer.from_pretrained(folder, gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
        templates["smollm2"] = loaded.chat_template
    else:
        templates["smollm2"] = json.loads((OUT / "chat.json").read_text())["templates"]["smollm2"]
    tools = [{"type": "function", "function": {"name": "add", "description": "a < b & 'c'", "parameters": {"type": "object", "n": [1, 2.5, None, True]}}}]
    rows = []
    for (name, template), chat, prompt, use in itertools.product(templates.items(), CHATS, (False, True), (False, True)):
        if use and name != "qwen2":
            continue
        messages = [{"role": r, "content": c} for r, c in chat]
        try:
            text = t.apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=prompt, tools=tools if use else None)
        except Exception as error:
            text = {"error": str(error)}
        rows.append({"template": name, "messages": messages, "prompt": prompt, "tools": tools if use else None, "text": text})
    save("chat", {"templates": templates, "rows": rows})


def main():
    save("texts", TEXTS)
    chats(sys.argv[1] if len(sys.argv) > 1 else None)
    fast = PreTrainedTokenizerFast
    case("gpt2", fast(tokenizer_object=gpt2(), bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>"))
    case("llama3", fast(tokenizer_object=llama3(), bos_token="<s>", eos_token="</s>"))
    case("smollm", fast(tokenizer_object=smollm(), bos_token="<|im_start|>", eos_token="<|im_end|>", unk_token="<|endoftext|>"))
    case("qwen2", fast(tokenizer_object=qwen2(), eos_token="<|im_end|>", pad_token="<|endoftext|>"))
    case("roberta", fast(tokenizer_object=roberta(), bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
                         mask_token=AddedToken("<mask>", lstrip=True, special=True)))
    for name, lower in (("bert_uncased", True), ("bert_cased", False)):
        case(name, fast(tokenizer_object=bert(lower), unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", mask_token="[MASK]"))
    case("whitespace", fast(tokenizer_object=whitespace(), unk_token="<unk>", bos_token="<s>", eos_token="</s>"))
    with tempfile.TemporaryDirectory() as folder:
        # A small normalization map in the format of nmt_nfkc, which itself takes 300 kB.
        rules = pathlib.Path(folder) / "rules.tsv"
        pairs = [("00A0", "20"), ("3000", "20"), ("09", "20"), ("0A", "20"), ("200B", ""), ("FEFF", ""), ("FB01", "66 69"), ("FB03", "66 66 69"),
                 ("BD", "31 2044 32"), ("B2", "32"), ("65 301", "E9"), ("FF41", "61"), ("FF21", "41"), ("2026", "2E 2E 2E")]
        rules.write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
        data = sentencepiece("unigram", vocab_size=330, character_coverage=0.99, normalization_rule_tsv=str(rules), pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
                             hard_vocab_limit=False)
        case("t5", T5TokenizerFast(write_model(data, folder, "spiece.model"), extra_ids=4, legacy=True, add_prefix_space=True))
        data = llama2_files()
        path = write_model(data, folder, "tokenizer.model")
        llama = LlamaTokenizerFast(path, legacy=True, add_prefix_space=True)
        case("llama2", llama)
        gguf_sentencepiece(path)
    for name, make in (("gpt-2", gpt2), ("smollm", smollm), ("llama-bpe", llama3), ("qwen2", qwen2)):
        gguf_byte_level(name, make())
    if len(sys.argv) > 1:
        smollm2(sys.argv[1])


def gguf_byte_level(pre, t):
    """The metadata that a GGUF file would hold for a byte-level BPE tokenizer, and that tokenizer's answers."""
    d = json.loads(t.to_str())
    tokens = [t.id_to_token(i) for i in range(t.get_vocab_size())]
    added = {a["id"] for a in d["added_tokens"]}
    meta = {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if i in added else 1 for i in range(len(tokens))],
        "tokenizer.ggml.merges": [" ".join(m) for m in d["model"]["merges"]],
        "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.add_bos_token": pre == "llama-bpe",
    }
    wrapped = PreTrainedTokenizerFast(tokenizer_object=t)
    save("gguf_" + pre, {"metadata": meta, **encodings(wrapped)})


def gguf_sentencepiece(path):
    """A SentencePiece BPE vocabulary as llama.cpp's converter writes it; the answers are sentencepiece's own."""
    sp = spm.SentencePieceProcessor(model_file=path)
    n = sp.get_piece_size()
    kind = lambda i: 2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 1
    meta = {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [sp.id_to_piece(i) for i in range(n)], "tokenizer.ggml.scores": [sp.get_score(i) for i in range(n)],
        "tokenizer.ggml.token_type": [kind(i) for i in range(n)],
        "tokenizer.ggml.bos_token_id": sp.bos_id(), "tokenizer.ggml.eos_token_id": sp.eos_id(), "tokenizer.ggml.unknown_token_id": sp.unk_id(),
    }
    # sentencepiece has no way to write special tokens in a text, and takes a real "▁" for a space.
    texts = [t for t in TEXTS if "<s>" not in t and "</s>" not in t and "<unk>" not in t and "▁" not in t and "<0x" not in t]
    plain = [sp.encode(t) for t in texts]
    save("gguf_llama", {"metadata": meta, "texts": texts, "plain": plain, "special": [[sp.bos_id()] + ids for ids in plain],
                        "decoded": [sp.decode(ids) for ids in plain]})


def smollm2(folder):
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"
    t = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    texts = TEXTS + [a + b for a, b in itertools.product(TEXTS[::5], TEXTS[3::9])]
    texts = list(dict.fromkeys(texts))
    loaded = [t(x, add_special_tokens=False).input_ids for x in texts]
    # transformers overlooks tokenizer.ggml.pre; the published SmolLM2 tokenizer.json sets each digit apart first.
    t.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    published = [t(x, add_special_tokens=False).input_ids for x in texts]
    differ = {i: b for i, (a, b) in enumerate(zip(published, loaded)) if a != b}
    save("smollm2", {"texts": texts, "plain": published, "transformers": differ})
    print(len(texts), "texts;", len(differ), "differ between transformers' GGUF loader and the published pre-tokenizer")


if __name__ == "__main__":
    main()
