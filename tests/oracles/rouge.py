"""Golden ROUGE scores and stems, made by PyPI rouge-score 0.1.2 and nltk 3.10 (its Porter stemmer's default mode).

    python tests/oracles/rouge.py

writes golden/rouge/rouge.json ([reference, candidate, plain, stemmed], each score list being precision, recall, f1 of rouge1,
rouge2, rougeL, rougeLsum, rounded to 8 digits) and golden/rouge/porter.json (word to stem).
"""
import json
import random
from pathlib import Path

from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer

HERE = Path(__file__).parent / "golden" / "rouge"
TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
random.seed(20040725)

ROOTS = """relate nation happy hop hope fail file tan fall hiss fizz size trouble conflate agree feed plaster bleed motor sing
valence hesitate digit conform radical differ vile analogy vietnam predicate operate feud decide hope callous formal sense
triplicate electric good revive allow infer airline gyro adjust defend irritate replace depend adopt communicate active
angular effect bowdler probate rate cease control roll geology log enjoy fly spy try die tie lie sky play say boy cry
generous organ univers abil possib syzygy yy yoyo oed ious x1 a1 42 007 b2b ski skill full beauty thoughtful nat rat
commun arsen past tooth apolog theolog annoy bully""".split()
SUFFIXES = """ s es ies ied ed ing eed y ly ily ally ational ationally tional tionally enci ency anci ancy izer bli ably ibly
alli entli ently eli ely ousli ously ization ation ator alism iveness fulness ousness aliti ality iviti ivity biliti bility
fulli fully logi logy icate ative alize iciti icity ical ful ness al ance ence er ic able ible ant ement ment ent sion tion
ion ou ism ate iti ous ive ize e ee ll l ss sses z zz ying eing""".split(" ")
SUFFIXES = [s for part in SUFFIXES for s in part.split("\n")]
IRREGULAR = """sky skies dying lying tying news innings inning outings outing cannings canning howe proceed exceed succeed
aged aging ages age used using ice acing added adding owed owing aided ivy eyed yes easies
caresses ponies ties caress cats ding ping aed ied bies died dies yyed eeing oing""".split()

words = sorted(set(random.sample([r + s for r in ROOTS for s in SUFFIXES], 2200) + ROOTS + IRREGULAR))
stemmer = PorterStemmer()
stems = {w: stemmer.stem(w) for w in words}
(HERE / "porter.json").write_text(json.dumps(stems, separators=(",", ":")) + "\n")

AWKWARD = [
    "", " ", "\n", "\n\n\n", ".", "—", "日本語の要約", "the", "THE the The", "a a a a a", "a b a b a b", "b a b a",
    "naïve café", "İstanbul KELVIN \u212a", "ſtraße ß", "don't can't won't", "3.14 is 3 14", "one\ntwo\nthree", "three\ntwo\none",
    "one two three", "\ufeffone\u200btwo", "emoji 😀 here 😀", "tab\there\r\nand crlf", "under_score and-dash",
    "police killed the gunman", "police kill the gunman", "the gunman kill police", "the gunman police killed",
    "w1 w2 w3 w4 w5", "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", "w1 w3 w8 w9 w5\nw1 w2 w6 w7 w8", "running runner runs ran",
    "run runs", "ies ied eed", "studies studied studying", "e\u0301 combining", "x" * 50, "line one.\n\n  line two. \n",
    "line two\nline one", "word " * 20,
]
FAMILIES = [[r + s for s in ("", "s", "ed", "ing", "ly", "ation", "ful")] for r in ("relate", "hope", "try", "control", "plan")]
VOCABULARY = "the a of to and it".split() + [w for family in FAMILIES for w in family] + IRREGULAR[:8]


def text():
    parts = []
    for _ in range(random.randint(0, 14)):
        word = random.choice(VOCABULARY[: random.choice([14, len(VOCABULARY)])])
        parts.append(random.choice([word, word, word, word.title(), word.upper()]))
        parts.append(random.choice([" ", " ", " ", " ", ", ", "\n", ".\n", " é ", "-", "\u00a0"]))
    return "".join(parts)


def mutated(source):
    pieces = source.split(" ")
    for _ in range(random.randint(0, 4)):
        at = random.randrange(len(pieces) + 1)
        random.choice([
            lambda: pieces.insert(at, random.choice(VOCABULARY)),
            lambda: pieces.pop(at % len(pieces)) if pieces else None,
            lambda: random.shuffle(pieces),
        ])()
    return " ".join(pieces)


pairs = [(a, a) for a in AWKWARD]
pairs += [(random.choice(AWKWARD), random.choice(AWKWARD)) for _ in range(120)]
pairs += [(text(), text()) for _ in range(160)]
pairs += [(t, mutated(t)) for t in (text() for _ in range(120))]
scorers = [RougeScorer(TYPES, use_stemmer=False), RougeScorer(TYPES, use_stemmer=True)]


def flat(scorer, reference, candidate):
    scores = scorer.score(reference, candidate)
    return [round(float(x), 8) for t in TYPES for x in scores[t]]


rows = [[a, b, flat(scorers[0], a, b), flat(scorers[1], a, b)] for a, b in pairs]
lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
(HERE / "rouge.json").write_text("[\n" + lines + "\n]\n")
print(len(rows), "pairs", len(stems), "stems", sum(r[2] != r[3] for r in rows), "changed by stemming")
