"""An event file by TensorBoard's own writer.

    python tests/oracles/event_files.py

writes golden/event_files.json: scalars, [wall time, step, [[tag, value], ...]], and the bytes of the file that holds them, in base 64, after
the record that tells the version, at the first wall time.
"""
import base64
import io
import json
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

OUT = Path(__file__).parent / "golden" / "event_files.json"
SCALARS = [
    [1700000000.25, 0, [["eval/loss", 2.5], ["eval/perplexity", 12.182494]]],
    [1700000001.5, 1, [["train/loss", 2.25], ["train/rewards/margins", -0.125]]],
    [1700000002.0, 300, [["train/loss", 1e-6]]],
    [1700000003.0, 123456789, [["train/tokensPerSecond", 98765.4]]],
]
with io.BytesIO() as file:
    writer = RecordWriter(file)
    writer.write(Event(wall_time=SCALARS[0][0], file_version="brain.Event:2").SerializeToString())
    for wall_time, step, values in SCALARS:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values])
        writer.write(Event(wall_time=wall_time, step=step, summary=summary).SerializeToString())
    writer.flush()
    content = base64.b64encode(file.getvalue()).decode()
OUT.write_text(json.dumps({"scalars": SCALARS, "bytes": content}))
