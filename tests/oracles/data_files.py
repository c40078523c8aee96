"""The same records in every form of file, written by Python's json, csv, gzip and zstandard and by pyarrow 26.

    python tests/oracles/data_files.py

writes golden/data_files/same/: records.jsonl, what every other file there holds, and records.{json,csv,tsv}, plain, with .gz
and with .zst; records_{none,snappy,gzip,brotli,lz4,zstd}.parquet; and golden/data_files/nested/: records.parquet with
records.jsonl, lists and structs and large integers; and golden/data_files/wrong/: what nobody can train on, one fault in each: columns of
nested texts, a folder whose second file has another schema, a column named twice, text that is not UTF-8 in a later row.
"""
import csv
import gzip
import io
import json
import random
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

HERE = Path(__file__).parent / "golden" / "data_files"
SAME, NESTED, WRONG = HERE / "same", HERE / "nested", HERE / "wrong"
for folder in (SAME, NESTED, WRONG, WRONG / "changed", WRONG / "retyped"):
    folder.mkdir(parents=True, exist_ok=True)
random.seed(3)
WORDS = ["parcel", "Straße", "naïve", '"quoted"', "a,b", "line\nbreak", "tab\there", "日本", "🙂", "back\\slash", "CRLF\r\nhere"]


def text():
    return " ".join(random.choice(WORDS) for _ in range(random.randint(1, 6)))


records = [{"prompt": text(), "completion": text()} for _ in range(60)]


def write(name, content: bytes):
    (SAME / name).write_bytes(content)
    (SAME / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    (SAME / f"{name}.zst").write_bytes(zstandard.ZstdCompressor().compress(content))


def table(delimiter):
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["prompt", "completion"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
write("records.jsonl", lines.encode())
write("records.json", json.dumps(records, indent=2, ensure_ascii=False).encode())
write("records.csv", ("\ufeff" + table(",")).encode())  # as spreadsheets write it
write("records.tsv", table("\t").encode())
columns = pa.table({name: [record[name] for record in records] for name in ["prompt", "completion"]})
for compression in ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]:
    pq.write_table(columns, SAME / f"records_{compression}.parquet", compression=compression, row_group_size=25)

nested = [
    {
        "messages": [{"role": "user", "content": text()}, {"role": "assistant", "content": text()}][: i % 3],
        "n": 2**40 + i,
        "score": i / 4,
        "none": None if i % 2 else "here",
        "list": list(range(i)),
    }
    for i in range(5)
]
pq.write_table(pa.Table.from_pylist(nested), NESTED / "records.parquet")
(NESTED / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in nested))

rows = [{"prompt": f"cat {word}", "completion": word} for word in ("dog", "sun", "sea")]
nested_texts = [{"prompt": {"text": "cat"}, "completion": "dog"}, {"prompt": {"text": "sun"}, "completion": "sea"}]
pq.write_table(pa.Table.from_pylist(nested_texts), WRONG / "nested.parquet")
for folder, other in (("changed", {"question": "cat", "answer": "dog"}), ("retyped", {"prompt": 1, "completion": 2})):
    pq.write_table(pa.Table.from_pylist(rows), WRONG / folder / "a.parquet")
    pq.write_table(pa.Table.from_pylist([other]), WRONG / folder / "b.parquet")
twice = pa.Table.from_arrays([pa.array([word]) for word in ("cat", "dog", "sun")], names=["prompt", "completion", "prompt"])
pq.write_table(twice, WRONG / "twice.parquet")
offsets = pa.py_buffer(struct.pack("<3i", 0, 3, 5))
texts = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"cat\xff\xfe")])
pq.write_table(pa.table({"prompt": texts, "completion": ["dog", "sun"]}), WRONG / "not_utf8.parquet")
