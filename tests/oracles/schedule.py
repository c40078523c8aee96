"""Golden schedules made by transformers 4.57 and early stopping made by its EarlyStoppingCallback.

    python tests/oracles/schedule.py

writes golden/schedule/schedule.json: [name, our options, the factors at steps 0, 1, 2, ...], the peak learning rate divided out;
and golden/schedule/early_stopping.json: [patience, goal, values, the number of values seen when it stops, or null].
"""
import json
import math
import random
from pathlib import Path
from types import SimpleNamespace

import torch
from transformers import EarlyStoppingCallback, TrainerControl, TrainerState, TrainingArguments
from transformers import optimization as hf

HERE = Path(__file__).parent / "golden" / "schedule"
PEAK = 0.5


def factors(make, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    schedule = make(optimizer)
    function = schedule.lr_lambdas[0]
    return [function(step) for step in range(steps)]


rows = []


def case(name, options, make, steps):
    rows.append([name, options, factors(make, steps)])


for warm in (0, 1, 7):
    case("constant", {"warmUp": warm}, lambda o: hf.get_constant_schedule_with_warmup(o, warm), 12)
    for total in (20, 31):
        both = {"warmUp": warm, "totalSteps": total}
        case("linear", both, lambda o: hf.get_linear_schedule_with_warmup(o, warm, total), total + 5)
        case("cosine", both, lambda o: hf.get_cosine_schedule_with_warmup(o, warm, total), total + 5)
        case("cosine", {**both, "cycles": 1.5},
             lambda o: hf.get_cosine_schedule_with_warmup(o, warm, total, num_cycles=1.5), total + 5)
        case("cosine", {**both, "minimum": 0.1},
             lambda o: hf.get_cosine_with_min_lr_schedule_with_warmup(o, warm, total, min_lr_rate=0.1), total + 5)
        for power, end in ((1.0, 0.0), (1.0, 2e-7), (2.0, 0.2), (0.5, 0.0)):
            case("polynomial", {**both, "power": power, "end": end},
                 lambda o: hf.get_polynomial_decay_schedule_with_warmup(o, warm, total, lr_end=end * PEAK, power=power),
                 total + 5)
    case("inverseSquareRoot", {"warmUp": warm}, lambda o: hf.get_inverse_sqrt_schedule(o, warm), 40)
    case("inverseSquareRoot", {"warmUp": warm, "timescale": 9},
         lambda o: hf.get_inverse_sqrt_schedule(o, warm, timescale=9), 40)
for ratio, total in ((0.1, 25), (0.03, 100), (1.0, 8), (0.0, 8)):
    arguments = TrainingArguments(output_dir="unused", warmup_ratio=ratio, use_cpu=True)
    steps = arguments.get_warmup_steps(total)
    case("linear", {"warmUp": {"ratio": ratio, "of": total}, "totalSteps": total},
         lambda o: hf.get_linear_schedule_with_warmup(o, steps, total), total + 2)
(HERE / "schedule.json").write_text("[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "\n]\n")

random.seed(7)
stops = []
for _ in range(60):
    patience, goal = random.randint(1, 4), random.choice(["lower", "higher"])
    values = [random.randint(0, 8) / 4 for _ in range(random.randint(1, 20))]
    if random.random() < 0.3:
        values[random.randrange(len(values))] = None  # NaN
    callback = EarlyStoppingCallback(patience)
    arguments = SimpleNamespace(metric_for_best_model="loss", greater_is_better=goal == "higher")
    state, control, stopped = TrainerState(), TrainerControl(), None
    for i, value in enumerate(values):
        number = math.nan if value is None else value
        callback.on_evaluate(arguments, state, control, {"eval_loss": number})
        # What Trainer itself does between callbacks: it keeps the best metric.
        better = (lambda a, b: a > b) if goal == "higher" else (lambda a, b: a < b)
        if not math.isnan(number) and (state.best_metric is None or better(number, state.best_metric)):
            state.best_metric = number
        if control.should_training_stop:
            stopped = i + 1
            break
    if values[0] is not None:  # the callback takes a first NaN for the best value; ours does not
        stops.append([patience, goal, values, stopped])
(HERE / "early_stopping.json").write_text(
    "[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in stops) + "\n]\n")
print(len(rows), "schedules", len(stops), "runs", sum(s[3] is not None for s in stops), "stopped")
