"""Lets Unsloth 2026.10.9 shard on a CPU: it imports Triton for that, and never calls it there.

Where Triton is missing, the stand-in that Unsloth brings for such machines takes its place. Elsewhere nothing happens.
"""

import importlib.util
import os
import sys
from pathlib import Path

if os.environ.get("UNSLOTH_FSDP2") and importlib.util.find_spec("triton") is None:
    folder = Path(importlib.util.find_spec("unsloth_zoo").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("triton", folder / "stubs" / "triton_stub.py")
    stand_in = sys.modules["triton"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stand_in)
    stand_in.inject_into_sys_modules()
