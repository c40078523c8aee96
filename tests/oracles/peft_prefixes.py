"""PEFT's table of what the names of each method's tensors begin with, for the names that adapters may have."""

import json
import pathlib

from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING

OUT = pathlib.Path(__file__).parent / "golden" / "peft_prefixes.json"
table = {str(type.value): prefix for type, prefix in PEFT_TYPE_TO_PREFIX_MAPPING.items()}
OUT.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
