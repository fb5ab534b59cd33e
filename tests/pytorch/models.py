"""The models of the fixtures, each with a function that draws inputs. `write.py` writes what they say; `read.py` compares."""

import torch
from torch import nn


def mlp():
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)), lambda: torch.randn(4, 5)


def convolutional():
    """Running means and variances and a count of batches, which are no parameters."""
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 6),
                          nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    return model, lambda: torch.randn(5, 2, 4, 4)


def words():
    return nn.Sequential(nn.Embedding(11, 6), nn.LayerNorm(6), nn.Linear(6, 4)), lambda: torch.randint(0, 11, (3, 5))


class Adaptive(nn.Module):
    """A softmax in clusters, whose parameters lie in lists of lists."""

    def __init__(self):
        super().__init__()
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 12], div_value=2.0)

    def forward(self, x):
        return self.softmax.log_prob(x)


def adaptive():
    return Adaptive(), lambda: torch.randn(3, 8)


MODELS = {"mlp": mlp, "convolutional": convolutional, "words": words, "adaptive": adaptive}
