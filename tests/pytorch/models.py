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


class Outputs(nn.Module):
    """The outputs of a sequence, without its last state."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


def lstm():
    return Outputs(nn.LSTM(3, 4, num_layers=2, bidirectional=True)), lambda: torch.randn(5, 2, 3)


def gru():
    return Outputs(nn.GRU(3, 4, num_layers=2, batch_first=True, bias=False)), lambda: torch.randn(2, 5, 3)


def block():
    layer = nn.TransformerEncoderLayer(8, 2, 12, activation="gelu", norm_first=True, batch_first=True)
    return layer, lambda: torch.randn(2, 5, 8)


class Reader(nn.Module):
    """Attention and recurrent layers, whose parameters are named in ways of their own."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, dim_feedforward=12, batch_first=True, norm_first=True)
        self.gru = nn.GRU(8, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.lstm = nn.LSTM(10, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        read, _ = self.gru(self.block(self.embedding(x)))
        return self.head(self.lstm(read)[0])


def reader():
    return Reader(), lambda: torch.randint(0, 11, (2, 6))


MODELS = {"mlp": mlp, "convolutional": convolutional, "words": words, "adaptive": adaptive, "lstm": lstm, "gru": gru,
          "block": block, "reader": reader}
