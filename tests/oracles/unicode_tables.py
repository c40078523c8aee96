"""The characters that Rust's `unicode_categories` crate (Unicode 8), which Hugging Face tokenizers ask, and JavaScript engines
class differently.

    python tests/oracles/unicode_tables.py
Prints the ranges for formats/unicode_eight.ts. Asks tokenizers itself about every character, and `node`-like answers come from
the deno on the path.
"""
import json, subprocess
from tokenizers import normalizers, pre_tokenizers

accents = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
bert = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
split = pre_tokenizers.Punctuation("isolated")
every = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
rust = {
    "mark": {c for c in every if accents.normalize_str("a" + chr(c)) == "a"},
    "control": {c for c in every if bert.normalize_str("a" + chr(c)) == "a"},
    "punctuation": {c for c in every if len(split.pre_tokenize_str("a" + chr(c) + "b")) == 3},
}
script = r"""
const sets = { mark: /\p{Mn}/u, control: /[\0\uFFFD]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/u, punctuation: /[!-\/:-@\[-`{-~\p{P}]/u };
const found = {};
for (const [name, r] of Object.entries(sets)) {
  found[name] = [];
  for (let c = 0; c < 0x110000; c++) if (!(c >= 0xD800 && c < 0xE000) && r.test(String.fromCodePoint(c))) found[name].push(c);
}
console.log(JSON.stringify(found));
"""
ours = json.loads(subprocess.run(["deno", "eval", script], capture_output=True, check=True).stdout)


def ranges(points):
    points, out = sorted(points), []
    for c in points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    hexed = lambda c: f"\\u{{{c:X}}}"
    return "".join(hexed(a) if a == b else hexed(a) + ("" if b == a + 1 else "-") + hexed(b) for a, b in out)


for name in rust:
    theirs, mine = rust[name], set(ours[name])
    print(name, "only ours:", len(mine - theirs), ranges(mine - theirs))
    print(name, "only theirs:", len(theirs - mine), ranges(theirs - mine))
