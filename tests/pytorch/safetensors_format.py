"""safetensors from the definition of the format, for a Python that has torch but not the package: what save_file and load_file
of safetensors.torch do, for the element types that the fixtures have."""

import json
import struct
import sys

import torch

# From the widest to the narrowest: files have their tensors in this order, then by name.
TYPES = {"I64": torch.int64, "F64": torch.float64, "F32": torch.float32, "I32": torch.int32, "BF16": torch.bfloat16,
         "F16": torch.float16, "BOOL": torch.bool}
NAMES = {dtype: name for name, dtype in TYPES.items()}


def raw(tensor):
    """The bytes of a tensor."""
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist()) if tensor.numel() else b""


def save_file(tensors, path, metadata=None):
    assert sys.byteorder == "little"
    order = list(NAMES)
    names = sorted(tensors, key=lambda name: (order.index(tensors[name].dtype), name.encode()))
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name in names:
        tensor = tensors[name]
        begin, data = len(data), data + raw(tensor)
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def load_file(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        dtype = TYPES[info["dtype"]]
        tensor = torch.frombuffer(bytearray(data[begin:end]), dtype=dtype) if end > begin else torch.empty(0, dtype=dtype)
        tensors[name] = tensor.reshape(info["shape"])
    return tensors
