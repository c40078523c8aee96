"""Executes one notebook from a fresh kernel in its own folder and writes the outputs back.

usage: execute.py NOTEBOOK OUTPUT KERNEL. Exit status 1 when a cell fails; then nothing is written.
"""
import os
import resource
import sys
import time

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

source, target, kernel = sys.argv[1:]
notebook = nbformat.read(source, as_version=4)
for cell in notebook.cells:
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
        cell.metadata.pop("execution", None)

client = NotebookClient(
    notebook,
    timeout=1800,  # of a cell: generous, since a shared machine may be slow
    kernel_name=kernel,
    record_timing=False,
    resources={"metadata": {"path": os.path.dirname(os.path.abspath(source))}},
)
began = time.monotonic()
try:
    client.execute()
except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
    print(error, file=sys.stderr)
    sys.exit(1)

# What the kernel says on the way to its protocol is not part of the story, and changes from one machine to the next.
for cell in notebook.cells:
    if cell.cell_type == "code":
        cell.outputs = [o for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr")]
notebook.metadata["kernelspec"] = {"display_name": "Deno", "language": "typescript", "name": "deno"}
notebook.metadata["language_info"] = {"file_extension": ".ts", "mimetype": "text/x.typescript", "name": "typescript"}
nbformat.validate(notebook)
nbformat.write(notebook, target)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"{time.monotonic() - began:.0f} s, {used.ru_utime:.0f} s of processor time")
