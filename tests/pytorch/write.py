"""Writes each model as PyTorch has it, <name>.safetensors, and what it says of an input, <name>.json, into this folder:

    python3 tests/pytorch/write.py && npx biome check --write tests/pytorch
"""

import json
from pathlib import Path

import torch
from models import MODELS
from safetensors_format import save_file

folder = Path(__file__).parent
for seed, (name, make) in enumerate(MODELS.items()):
    torch.manual_seed(seed)
    model, draw = make()
    with torch.no_grad():
        # Running estimates move away from what they begin with.
        for _ in range(3):
            model.train()(draw())
        x = draw()
        y = model.eval()(x)
    save_file(model.state_dict(), folder / f"{name}.safetensors", {"format": "pt"})
    numbers = {"x": x, "y": y}
    text = {key: {"shape": list(t.shape), "data": t.reshape(-1).tolist()} for key, t in numbers.items()}
    (folder / f"{name}.json").write_text(json.dumps(text, separators=(",", ":")) + "\n")
