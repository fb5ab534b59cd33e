# PyTorch on one thread as a peer of the bench. It speaks the lines of ../serve.ts and works on the numbers of
# ../data.ts. Sparsemax and entmax are autograd functions by the published algorithms: sorting for sparsemax
# (Martins & Astudillo 2016) and entmax-1.5 (Peters, Niculae & Martins 2019), bisection for the other α.
import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(1)


def mix(counter):
    h = counter.astype(np.uint32)
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def uniform(seed, counter):
    start = (seed * 0x9E3779B9) & 0xFFFFFFFF
    return (mix(counter.astype(np.uint32) + np.uint32(start)).astype(np.float64) + 0.5) / 2.0**32


def normal(seed, shape, scale=1.0):
    i = np.arange(int(np.prod(shape)), dtype=np.uint32)
    radius = np.sqrt(-2 * np.log(uniform(seed, 2 * i)))
    values = scale * radius * np.cos(2 * np.pi * uniform(seed, 2 * i + 1))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def labels(seed, count, classes):
    i = np.arange(count, dtype=np.uint32)
    return torch.from_numpy(np.floor(uniform(seed, i) * classes).astype(np.int64))


class Sparsemax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = x - x.max(dim=-1, keepdim=True).values
        ordered = x.sort(dim=-1, descending=True).values
        count = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype)
        sums = ordered.cumsum(-1) - 1
        size = (count * ordered > sums).sum(dim=-1, keepdim=True)
        p = (x - sums.gather(-1, size - 1) / size).clamp(min=0)
        ctx.save_for_backward(p)
        return p

    @staticmethod
    def backward(ctx, g):
        (p,) = ctx.saved_tensors
        support = p > 0
        mean = (g * support).sum(-1, keepdim=True) / support.sum(-1, keepdim=True)
        return torch.where(support, g - mean, torch.zeros_like(g))


class Entmax15(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = (x - x.max(dim=-1, keepdim=True).values) / 2
        ordered = x.sort(dim=-1, descending=True).values
        count = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype)
        mean = ordered.cumsum(-1) / count
        mean_square = (ordered**2).cumsum(-1) / count
        variance = count * (mean_square - mean**2)
        taus = mean - ((1 - variance) / count).clamp(min=0).sqrt()
        size = (taus <= ordered).sum(dim=-1, keepdim=True)
        s = (x - taus.gather(-1, size - 1)).clamp(min=0)
        ctx.save_for_backward(s)
        return s**2

    @staticmethod
    def backward(ctx, g):
        (s,) = ctx.saved_tensors
        gs = g * s
        return gs - s * (gs.sum(-1, keepdim=True) / s.sum(-1, keepdim=True))


class EntmaxBisect(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, alpha, steps=50):
        x = x * (alpha - 1)
        exponent = 1 / (alpha - 1)
        top = x.max(dim=-1, keepdim=True).values
        low = top - 1
        width = 1 - x.shape[-1] ** (1 - alpha)
        for _ in range(steps):
            width /= 2
            middle = low + width
            p = (x - middle).clamp(min=0) ** exponent
            low = torch.where(p.sum(-1, keepdim=True) >= 1, middle, low)
        p = p / p.sum(-1, keepdim=True)
        ctx.alpha = alpha
        ctx.save_for_backward(p)
        return p

    @staticmethod
    def backward(ctx, g):
        (p,) = ctx.saved_tensors
        s = torch.where(p > 0, p ** (2 - ctx.alpha), torch.zeros_like(p))
        gs = g * s
        return gs - s * (gs.sum(-1, keepdim=True) / s.sum(-1, keepdim=True)), None


class Work:
    """One row: `compute` returns the tensors that the check reads."""

    def __init__(self, compute, check=None):
        self.run = compute
        self.check = check or (lambda: [float(t.detach().double().norm()) for t in compute()])


def matmul(m, k, n, ta=False, tb=False):
    a = normal(1, (k, m) if ta else (m, k))
    b = normal(2, (n, k) if tb else (k, n))
    return Work(lambda: [(a.t() if ta else a) @ (b.t() if tb else b)])


def softmax(rows, n):
    x = normal(3, (rows, n))
    return Work(lambda: [torch.softmax(x, -1)])


def map_grad(function):
    x = normal(3, (256, 1000)).requires_grad_()
    g = normal(4, (256, 1000))

    def compute():
        p = function(x)
        return [p, torch.autograd.grad(p, x, g)[0]]

    return Work(compute)


def gradients(function, inputs):
    def compute():
        value = function(*inputs)
        return [value, *torch.autograd.grad(value, inputs)]

    return Work(compute)


def cross_entropy(rows, n):
    y = labels(5, rows, n)
    return gradients(lambda x: F.cross_entropy(x, y), [normal(3, (rows, n)).requires_grad_()])


def cross_entropy_by_logsumexp(rows, n):
    target = F.one_hot(labels(5, rows, n), n).float()
    return gradients(
        lambda x: (torch.logsumexp(x, -1) - (x * target).sum(-1)).mean(),
        [normal(3, (rows, n)).requires_grad_()],
    )


def formula():
    inputs = [normal(seed, (1000000,)).requires_grad_() for seed in (1, 2, 3)]
    return gradients(lambda a, b, c: torch.relu(a * b + c).sum(), inputs)


def mlp(sizes, batch, optimizer):
    layers = [torch.nn.Linear(n, m) for n, m in zip(sizes, sizes[1:])]
    for i, layer in enumerate(layers):
        n, m = layer.in_features, layer.out_features
        layer.weight.data = normal(10 + i, (n, m), n**-0.5).t().contiguous()
        layer.bias.data.zero_()
    modules = [part for layer in layers for part in (layer, torch.nn.ReLU())][:-1]
    model = torch.nn.Sequential(*modules)
    x, y = normal(3, (batch, sizes[0])), labels(5, batch, sizes[-1])
    method = optimizer(model.parameters())

    def step():
        method.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        method.step()
        return loss

    return Work(step, lambda: [float(step().detach()) for _ in range(20)])


def chain():
    x = normal(1, (8,)).requires_grad_()
    w, b = 1 + normal(2, (8,), 0.01), normal(3, (8,), 0.01)

    def function(x):
        y = x
        for _ in range(25):
            y = y * w + b
        return y.sum()

    return gradients(function, [x])


def add():
    a, b = normal(1, (8,)), normal(2, (8,))
    return Work(lambda: [a + b])


def output():
    batch, inputs, classes = 64, 128, 50000
    h = normal(1, (batch, inputs)).requires_grad_()
    w = normal(2, (classes, inputs), inputs**-0.5).requires_grad_()
    b = torch.zeros(classes, requires_grad=True)
    y = labels(5, batch, classes)
    return gradients(lambda h, w, b: F.cross_entropy(F.linear(h, w, b), y), [h, w, b])


def transformer():
    d, heads, wide = 64, 4, 256
    block = torch.nn.TransformerEncoderLayer(d, heads, wide, dropout=0.0, batch_first=True)
    sizes = {"self_attn.in_proj_weight": (10, d), "self_attn.out_proj.weight": (11, d)}
    sizes |= {"linear1.weight": (12, d), "linear2.weight": (13, wide)}
    for name, p in block.named_parameters():
        if name in sizes:
            seed, inputs = sizes[name]
            p.data = normal(seed, tuple(p.shape), inputs**-0.5)
        else:
            p.data.fill_(1.0 if name in ("norm1.weight", "norm2.weight") else 0.0)
    x, g = normal(3, (8, 64, d)), normal(4, (8, 64, d))
    return gradients(lambda *_: (block(x) * g).sum(), list(block.parameters()))


rows = {
    "matmul-256": lambda: matmul(256, 256, 256),
    "matmul-512": lambda: matmul(512, 512, 512),
    "matmul-tn-512": lambda: matmul(512, 512, 512, ta=True),
    "matmul-nt-512": lambda: matmul(512, 512, 512, tb=True),
    "matmul-1024": lambda: matmul(1024, 1024, 1024),
    "matmul-64x784x256": lambda: matmul(64, 784, 256),
    "softmax-64x10": lambda: softmax(64, 10),
    "softmax-256x1000": lambda: softmax(256, 1000),
    "softmax-64x50000": lambda: softmax(64, 50000),
    "softmax-grad": lambda: map_grad(lambda x: torch.softmax(x, -1)),
    "sparsemax-grad": lambda: map_grad(Sparsemax.apply),
    "entmax15-grad": lambda: map_grad(Entmax15.apply),
    "entmax13-grad": lambda: map_grad(lambda x: EntmaxBisect.apply(x, 1.3)),
    "xent-256x1000": lambda: cross_entropy(256, 1000),
    "xent-lse-256x1000": lambda: cross_entropy_by_logsumexp(256, 1000),
    "xent-64x50000": lambda: cross_entropy(64, 50000),
    "formula": formula,
    "mlp-adam": lambda: mlp([784, 256, 128, 10], 64, lambda p: torch.optim.Adam(p, lr=1e-5)),
    "mlp-sgd": lambda: mlp([64, 64, 10], 32, lambda p: torch.optim.SGD(p, lr=1e-2)),
    "chain-50": chain,
    "add-8": add,
    "output-50000": output,
    "transformer": transformer,
}


def clock(work, calls):
    run = work.run
    start, computed = time.perf_counter(), time.process_time()
    for _ in range(calls):
        run()
    return min(time.perf_counter() - start, time.process_time() - computed) * 1000


def warm_up(work):
    end = time.perf_counter() + 0.4
    calls, samples = 1, 0
    while samples < 3 or time.perf_counter() < end:
        ms = clock(work, calls)
        estimate = ms / calls
        if ms < 5:
            calls *= 2
        samples += 1
    return estimate


prepared = {}


def answer(request):
    ask = request["ask"]
    if ask == "version":
        return {"version": torch.__version__}
    row = request["row"]
    if ask == "prepare":
        if row not in rows:
            return {"missing": True}
        prepared[row] = rows[row]()
        return {"check": prepared[row].check(), "estimate": warm_up(prepared[row])}
    if ask == "time":
        return {"ms": clock(prepared[row], request["calls"])}
    prepared.pop(row, None)
    return {}


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as error:
        reply = {"error": repr(error)}
    print(json.dumps(reply), flush=True)
