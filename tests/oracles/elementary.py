"""exp, log and their relatives, correctly rounded by mpmath (golden/elementary.json): arguments and values as hexadecimal floats."""
import json
import math
import os
import random

import mpmath

mpmath.mp.prec = 300
draw = random.Random(0)


def spread(low, high):
    """A number of either sign whose logarithm is uniform."""
    return draw.choice((-1, 1)) * math.exp(draw.uniform(math.log(low), math.log(high)))


POSITIVE = [5e-324, 2.2250738585072014e-308, 1e-300, 0.5, 0.7071067811865475, 0.7071067811865476, 0.9999999999999999, 1.0,
            1.0000000000000002, 1.4142135623730951, 1.4142135623730954, 2.0, math.e, 10.0, 1e22, 1.7976931348623157e308]
TURNS = [k * math.pi / 4 for k in (-9, -4, -3, -2, -1, 1, 2, 3, 4, 8, 1000000)] + [6381956970095103.0 * 2.0**797, 1e22, 1e-8]
SMALL = [0.34657359, 0.3465737, 1.0397, 1.03973, 0.25, -0.25, -1.0, 1.0, 1e-9, -1e-9, 1e-300]

ARGUMENTS = {
    "exp": SMALL + [709.78, -745.1, -708.4, -740.0] + [spread(1e-10, 700) for _ in range(600)],
    "expm1": SMALL + [709.7, -38.0, -50.0, 14.0, 39.0] + [spread(1e-18, 700) for _ in range(600)],
    "log": POSITIVE + [abs(spread(1e-300, 1e300)) for _ in range(300)] + [draw.uniform(0.5, 2) for _ in range(300)],
    "log2": POSITIVE + [abs(spread(1e-300, 1e300)) for _ in range(300)] + [draw.uniform(0.5, 2) for _ in range(300)],
    "log1p": SMALL[:-5] + [-0.9999999, 1e16, 1e-20] + [draw.uniform(-0.99, 1) for _ in range(300)] + [abs(spread(1e-17, 1e17)) for _ in range(300)],
    "tanh": SMALL + [21.9, 22.1, -0.9999, -1.0001] + [spread(1e-10, 25) for _ in range(600)],
    "sin": TURNS + [spread(1e-9, 1e6) for _ in range(500)] + [spread(1e6, 1e300) for _ in range(60)],
    "cos": TURNS + [spread(1e-9, 1e6) for _ in range(500)] + [spread(1e6, 1e300) for _ in range(60)],
}
FUNCTIONS = {
    "exp": mpmath.exp, "expm1": mpmath.expm1, "log": mpmath.log, "log2": lambda x: mpmath.log(x) / mpmath.log(2),
    "log1p": lambda x: mpmath.log(1 + x), "tanh": mpmath.tanh, "sin": mpmath.sin, "cos": mpmath.cos,
}
PAIRS = [(10.0, -6.0), (0.9, 1.0), (0.999, 100000.0), (2.0, 0.5), (10000.0, 62 / 64), (-2.0, 3.0), (-3.0, -4.0), (1e-5, 63.0)]
PAIRS += [(abs(spread(1e-20, 1e20)), spread(1e-3, 14)) for _ in range(600)]


def rounded(value):
    """The f64 next to a number of mpmath's; below the normal ones by whole multiples of 2^-1074."""
    if abs(value) < mpmath.mpf(2) ** -1022:
        return math.ldexp(float(mpmath.nint(mpmath.ldexp(value, 1074))), -1074)
    return float(value)


cases = {name: [[x.hex(), rounded(FUNCTIONS[name](mpmath.mpf(x))).hex()] for x in map(float, xs)] for name, xs in ARGUMENTS.items()}
cases["pow"] = [[a.hex(), b.hex(), rounded(mpmath.power(mpmath.mpf(a), mpmath.mpf(b))).hex()] for a, b in PAIRS]
with open(os.path.join(os.path.dirname(__file__), "golden", "elementary.json"), "w") as file:
    json.dump(cases, file, indent=0)
    file.write("\n")
