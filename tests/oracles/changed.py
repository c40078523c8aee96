"""Says what a new run of the oracles changed: each golden file beside the one that git has.

    python tests/oracles/changed.py [path below tests/oracles/golden ...]

Other processors and threads round otherwise, and Python orders sets anew at every start, so equal bytes are not to be had
everywhere. A file is "rounded" if all its names, shapes and whole numbers are the same and its other numbers differ by at most
1e-4 of the tensor's (or list's) largest, and "ordered" if only the order in lists of strings differs. Gradients that are zero
but for rounding, as those of the keys' biases, have no digit in common: what is below f32's rounding of the largest number among
the tensors of one prefix ("grad.") is no difference. Ends with 1 if any file is "other", new or gone.
"""
import json, math, subprocess, sys
import numpy as np
from safetensors.numpy import load

ROOT = "tests/oracles/golden"
WITHIN = 1e-4
git = lambda *args: subprocess.run(["git", *args], check=True, capture_output=True).stdout


def numbers(old, new, floor=0.0):
    """The largest difference of two arrays in parts of the largest number; infinite where something else differs."""
    if old.shape != new.shape or old.dtype != new.dtype:
        return math.inf
    if old.dtype.kind != "f":
        return 0 if np.array_equal(old, new) else math.inf
    old, new = old.astype(np.float64), new.astype(np.float64)
    same = (old == new) | (np.isnan(old) & np.isnan(new))
    if same.all():
        return 0
    apart = np.abs(old - new)[~same].max()
    if apart <= floor:
        return np.finfo(np.float64).tiny
    largest = np.abs(old[np.isfinite(old)]).max(initial=0)
    return apart / largest if largest > 0 and np.isfinite(apart) else math.inf


def values(old, new):
    """The same of two JSON values, and whether lists of strings are ordered otherwise."""
    if isinstance(old, dict) and isinstance(new, dict) and list(old) == list(new):
        return both([values(old[k], new[k]) for k in old])
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        if old and all(isinstance(x, str) for x in old + new):
            return (0, old != new) if sorted(old) == sorted(new) else (math.inf, False)
        if any(isinstance(x, float) for x in old) and all(isinstance(x, (int, float)) for x in old + new):
            return numbers(np.array(old, np.float64), np.array(new, np.float64)), False
        return both([values(a, b) for a, b in zip(old, new)])
    if isinstance(old, float) and isinstance(new, float):
        return numbers(np.array([old]), np.array([new])), False
    return (0 if old == new and type(old) is type(new) else math.inf), False


def both(pairs):
    return max((d for d, _ in pairs), default=0), any(o for _, o in pairs)


def kind(path, old, new):
    if old == new:
        return "same", 0
    apart, ordered = math.inf, False
    if path.endswith(".safetensors"):
        a, b = load(old), load(new)
        if a.keys() == b.keys():
            prefix = lambda key: key.split(".")[0]
            largest = {}
            for key, t in a.items():
                finite = t[np.isfinite(t)] if t.dtype.kind == "f" else t[:0]
                largest[prefix(key)] = max(largest.get(prefix(key), 0.0), float(np.abs(finite).max(initial=0)))
            apart = max((numbers(a[k], b[k], 2**-23 * largest[prefix(k)]) for k in a), default=0)
    elif path.endswith(".json"):
        apart, ordered = values(json.loads(old), json.loads(new))
    if apart > WITHIN:
        return "other", apart
    return ("rounded" if apart else "ordered" if ordered else "same"), apart


def main():
    under = [f"{ROOT}/{path}" for path in sys.argv[1:]] or [ROOT]
    counts, wrong = {}, False
    changed = git("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", *under).decode().split("\0")
    for line in filter(None, changed):
        state, path = line[:2].strip(), line[3:]
        if state in ("D", "??", "A"):
            what, apart = ("gone" if state == "D" else "new"), math.inf
        else:
            what, apart = kind(path, git("show", f"HEAD:{path}"), open(path, "rb").read())
        counts[what] = counts.get(what, 0) + 1
        wrong |= what in ("other", "new", "gone")
        if what != "same":
            print(f"{what:8} {path.removeprefix(ROOT + '/')}" + (f"  {apart:.1e}" if WITHIN**2 < apart < math.inf else ""))
    print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())) or "every byte is the same")
    sys.exit(wrong)


if __name__ == "__main__":
    main()
