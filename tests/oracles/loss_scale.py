"""Scales of torch.amp.GradScaler over good and bad steps, for tests/train/loss_scale.test.ts.

Run: python tests/oracles/loss_scale.py   (writes golden/loss_scale.json)
"""

import json
import random

import torch

cases = []
draw = random.Random(3)
for initial, growth, backoff, interval in [(65536.0, 2.0, 0.5, 3), (1024.0, 4.0, 0.25, 1), (8.0, 2.0, 0.5, 5)]:
    scaler = torch.amp.GradScaler(
        "cpu", init_scale=initial, growth_factor=growth, backoff_factor=backoff, growth_interval=interval
    )
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    finite = [draw.random() < 0.8 for _ in range(40)]
    scales, taken = [], []
    for good in finite:
        calls = []
        optimizer.step = lambda: calls.append(True)
        scaler.scale(torch.ones(1))  # the scaler starts with its first use
        parameter.grad = torch.ones(1) if good else torch.full((1,), float("inf"))
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
        taken.append(len(calls) == 1)
    options = {"initial": initial, "growth": growth, "backoff": backoff, "interval": interval}
    cases.append({"options": options, "finite": finite, "scales": scales, "taken": taken})
with open("tests/oracles/golden/loss_scale.json", "w") as f:
    f.write(json.dumps({"torch": torch.__version__, "cases": cases}) + "\n")
