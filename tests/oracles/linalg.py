"""Golden factorisations by numpy in float64: QR with a positive diagonal, SVD with the entry of largest magnitude in each
column of U positive. Run from the repository root:
    python tests/oracles/linalg.py
"""
import json
import numpy as np

rng = np.random.default_rng(0)


def signed(u, vt):
    signs = np.sign(u[np.abs(u).argmax(0), np.arange(u.shape[1])])
    return u * signs, vt * signs[:, None]


cases = []
for m, n in [(1, 1), (1, 5), (5, 1), (4, 4), (7, 3), (3, 8)]:
    x = rng.standard_normal((m, n)).astype(np.float32)
    q, r = np.linalg.qr(x.astype(np.float64))
    d = np.where(np.diag(r) < 0, -1.0, 1.0)
    u, s, vt = np.linalg.svd(x.astype(np.float64), full_matrices=False)
    u, vt = signed(u, vt)
    cases.append({"shape": [m, n], "x": x.ravel().tolist(), "q": (q * d).ravel().tolist(), "r": (d[:, None] * r).ravel().tolist(),
                  "u": u.ravel().tolist(), "s": s.tolist(), "vt": vt.ravel().tolist()})
with open("tests/oracles/golden/linalg.json", "w") as f:
    json.dump(cases, f)
