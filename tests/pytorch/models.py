"""The models of the fixtures, each with an input of its own. `write.py` writes what they say; `read.py` compares."""

import torch
from torch import nn


def mlp():
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)), torch.randn(4, 5)


MODELS = {"mlp": mlp}
