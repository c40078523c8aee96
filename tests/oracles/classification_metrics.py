"""Golden scores of classifications: scikit-learn 1.9, scipy 1.17, torchmetrics 1.9 (SQuAD).

    python tests/oracles/classification_metrics.py
Writes tests/oracles/golden/classification_metrics.json.
"""
import json, math, random, warnings
import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torchmetrics.functional.text import squad

warnings.filterwarnings("ignore")
random.seed(3)
classes = []
for n, k in [(1, 2), (2, 2), (7, 2), (40, 2), (40, 3), (60, 6), (9, 9), (5, 1)]:
    for bias in [0.0, 0.5, 1.0]:
        wanted = [random.randrange(k) for _ in range(n)]
        found = [w if random.random() < bias else random.randrange(k) for w in wanted]
        case = {"wanted": wanted, "found": found, "accuracy": accuracy_score(wanted, found),
                "matthews": matthews_corrcoef(wanted, found)}
        for average in ["macro", "micro", "weighted"]:
            case[average] = f1_score(wanted, found, average=average, zero_division=0)
        if k == 2:
            case["binary"] = f1_score(wanted, found, average="binary", zero_division=0, labels=[0, 1])
        classes.append(case)
numbers = []
for n in [2, 3, 10, 50]:
    for make in [lambda: random.gauss(0, 3), lambda: random.randrange(4), lambda: 1e6 + random.random(), lambda: 2.5]:
        a = [make() for _ in range(n)]
        b = [x * random.choice([1, -1, 0.3]) + random.gauss(0, 1) for x in a]
        clean = lambda x: None if math.isnan(x) else x
        numbers.append({"a": a, "b": b, "pearson": clean(float(pearsonr(a, b)[0])), "spearman": clean(float(spearmanr(a, b)[0]))})
ANSWERS = [("the cat sat", ["The cat sat!", "a dog"]), ("Denver Broncos", ["Denver Broncos", "The Denver Broncos", "Broncos"]),
           ("", ["x"]), ("a", ["the"]), ("an apple a day", ["apple day", "apples"]), ("1,000 dollars", ["1000 dollars"]),
           ("café, the", ["CAFÉ"]), ("them other", ["the m other"]), ("àthe end", ["à end", "àthe end"]), ("x  y\tz\n", ["x y z"]),
           ("it's U.S.", ["its us"]), ("yes yes no", ["yes no no", "no yes"]), ("«quoted» text", ["quoted text"]),
           ("ΣΊΣΥΦΟΣ the", ["σίσυφος"]), ("the-theory", ["thetheory"]), ("a_b", ["ab"]), ("answer", ["no", "none of it"])]
texts = []
for found, wanted in ANSWERS:
    scores = squad([{"prediction_text": found, "id": "0"}], [{"answers": {"answer_start": [0] * len(wanted), "text": wanted}, "id": "0"}])
    texts.append({"found": found, "wanted": wanted, "exact": float(scores["exact_match"]) / 100, "f1": float(scores["f1"]) / 100})
json.dump({"classes": classes, "numbers": numbers, "texts": texts}, open("tests/oracles/golden/classification_metrics.json", "w"))
