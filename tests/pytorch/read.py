"""Loads a file of ours into the PyTorch model of its name and compares what it says with <name>.json in the same folder:

    python3 tests/pytorch/read.py FOLDER
"""

import json
import sys
from pathlib import Path

import torch
from models import MODELS
from safetensors_format import load_file

for name, make in MODELS.items():
    path = Path(sys.argv[1]) / f"{name}.safetensors"
    model, _ = make()
    model.load_state_dict(load_file(path))
    model.eval()
    said = json.loads(path.with_suffix(".json").read_text())
    kind = torch.int64 if all(isinstance(v, int) for v in said["x"]["data"]) else torch.float32
    x, y = (torch.tensor(said[k]["data"], dtype=t).reshape(said[k]["shape"]) for k, t in (("x", kind), ("y", torch.float32)))
    with torch.no_grad():
        away = (model(x) - y).abs().max().item()
    print(f"{name}: at most {away:.1e} away")
    assert away < 1e-5
