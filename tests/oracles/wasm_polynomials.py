"""Fits the polynomials of ops/wasm/crate/src/math.rs and ops/gpu/kernels/math.ts: Chebyshev nodes, then weighted least squares with mpmath values.

Run: python wasm_polynomials.py. Prints f32 coefficients, constant term first, and the fit's worst relative error.
"""
import mpmath as mp
import numpy as np

mp.mp.dps = 40


def fit(f, low, high, degree, weight=lambda x: mp.mpf(1), rounds=60):
    """Minimises max |weight (p - f)| on [low, high] by Lawson's reweighting."""
    n = 40 * (degree + 1)
    xs = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * n)) for i in range(n)]
    ys = np.array([float(f(x)) for x in xs])
    ws = np.array([float(weight(x)) for x in xs])
    x64 = np.array([float(x) for x in xs])
    basis = np.vander(x64, degree + 1, increasing=True)
    lawson = np.ones(n) / n
    for _ in range(rounds):
        scale = np.sqrt(lawson) * ws
        c = np.linalg.lstsq(basis * scale[:, None], ys * scale, rcond=None)[0]
        error = np.abs(basis @ c - ys) * ws
        lawson = lawson * error
        lawson /= lawson.sum()
    return c, error.max()


def show(name, c, error):
    print(name, [f"{np.float32(v)!s}" for v in c], f"worst {error:.2e}")


half = mp.log(2) / 2
tiny = lambda x: x if x != 0 else mp.mpf(10) ** -9
show("exp: (e^r - 1 - r) / r^2", *fit(lambda r: (mp.expm1(tiny(r)) - tiny(r)) / tiny(r) ** 2 if abs(r) > 1e-9 else mp.mpf(1) / 2,
     -half, half, 4, lambda r: r * r))
show("tanh: (tanh x / x - 1) / x^2 in x^2", *fit(lambda u: (mp.tanh(mp.sqrt(u)) / mp.sqrt(u) - 1) / u, mp.mpf("1e-12"), mp.mpf("0.625") ** 2, 4,
     lambda u: u))
show("erf: erf x / x in x^2", *fit(lambda u: mp.erf(mp.sqrt(u)) / mp.sqrt(u), mp.mpf("1e-12"), mp.mpf(1), 6))
w_low = 1 / (1 + mp.mpf(11) / 2)
erfcx = lambda z: mp.erfc(z) * mp.exp(z * z)
for degree in (8, 9, 10):
    show(f"erfc: erfc(z) e^(z^2) / w in w = 1 / (1 + z / 2), degree {degree}", *fit(lambda w: erfcx(2 / w - 2) / w, w_low, mp.mpf(1), degree,
         lambda w: w / erfcx(2 / w - 2)))
root = mp.sqrt(mp.mpf(1) / 2)
show("log: (log(1 + f) - f + f^2 / 2) / f^3", *fit(
    lambda f: (mp.log1p(f) - f + f * f / 2) / f ** 3 if abs(f) > 1e-6 else mp.mpf(1) / 3,
    root - 1, 2 * root - 1, 8, lambda f: abs(f * f * f / mp.log1p(f)) if abs(f) > 1e-9 else mp.mpf(0)))
quarter = (mp.pi / 4) ** 2
show("sin: (sin x / x - 1) / x^2 in x^2", *fit(lambda u: (mp.sin(mp.sqrt(u)) / mp.sqrt(u) - 1) / u, mp.mpf("1e-12"), quarter, 3, lambda u: u))
show("cos: (cos x - 1 + x^2 / 2) / x^4 in x^2", *fit(lambda u: (mp.cos(mp.sqrt(u)) - 1 + u / 2) / (u * u), mp.mpf("1e-6"), quarter, 2,
     lambda u: u * u))
