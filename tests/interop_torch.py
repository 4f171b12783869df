"""Files to and from Python: interop_torch.py PROGRAM [REAL], PROGRAM is tests/interop_torch.c in float or double.

Skips with a line where a package is missing; fails with an AssertionError."""
import json, os, random, subprocess, sys, tempfile

try:
    import numpy as np
    import torch
    import safetensors
    from safetensors.torch import load_file, save_file
except ImportError as missing:
    print(f"skipped interop_torch: {missing}")
    sys.exit(77)

program, real = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "float"
dtype = torch.float64 if real == "double" else torch.float32
tolerance = 1e-12 if real == "double" else 1e-5
folder = tempfile.mkdtemp()
path = lambda name: os.path.join(folder, name)
run = lambda *words: subprocess.run([program, *words], check=True, capture_output=True, text=True).stdout
torch.manual_seed(1)
torch.set_default_dtype(torch.float64)


def output():
    return torch.from_numpy(np.fromfile(path("output.bin"))).reshape(5, 4)


def same(a, b):
    difference = (a - b).abs().max().item()
    assert difference <= tolerance, difference
    return difference


# A network of nn.h in PyTorch: the values, and what the metadata says of it.
x = torch.randn(5, 3, 4, 2)
x.numpy().tofile(path("input.bin"))
run("save", folder)
t = load_file(path("mlp.safetensors"))
assert all(v.dtype == dtype for v in t.values())
t = {k: v.double() for k, v in t.items()}
y = torch.tanh(x.reshape(5, -1) @ t["dense0.weight"] + t["dense0.bias"]) @ t["dense1.weight"] + t["dense1.bias"]
saved = same(y, output())
with safetensors.safe_open(path("mlp.safetensors"), "np") as f:
    about = json.loads(f.metadata()["nn.h"])
assert about["version"] == 1 and [e["op"] for e in about["tensors"]].count("dense") == 2

# A network of PyTorch in nn.h, which flattens height, width, channels.
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(24, 7), torch.nn.Linear(7, 4)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x.flatten(1))))

net = Net()
save_file(net.state_dict(), path("torch.safetensors"))
x.permute(0, 2, 3, 1).contiguous().numpy().tofile(path("input.bin"))
run("load", path("torch.safetensors"), folder)
loaded = same(net(x).detach(), output())

# Everything that Python writes loads, in each type.
names = []
for kind in "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool".split():
    names.append(path(f"{kind}.safetensors"))
    bias = torch.tensor([1, 0, 1, 1, 0, 0, 1]).to(getattr(torch, kind))
    save_file({"dense0.bias": bias, "a/\u00e9\U0001f600\"": torch.zeros(0, 3), "one": torch.tensor(1.0)},
              names[-1], metadata={"format": "pt", "by": "interop\n"})
for line in run("check", *names).splitlines():
    assert line.endswith(": ok"), line

# Damaged files: what Python refuses is refused here. (Python leaves the sizes of elements that are
# no whole bytes, and unknown keys, to itself.)
good = open(names[1], "rb").read()
draw = random.Random(1)
damaged, refused = [], 0
for i in range(300):
    b = bytearray(good)
    for _ in range(draw.randint(1, 2)):
        b[draw.randrange(8, len(b) - 16)] = draw.choice(b'0123456789"{}[],:\\ aF\x00\xff')
    if draw.random() < 0.2:
        b = b[: draw.randrange(len(b))]
    damaged.append(path(f"damaged{i}"))
    open(damaged[-1], "wb").write(b)
answers = dict(line.rsplit("damaged", 1)[1].split(": ", 1) for line in run("check", *damaged).splitlines())
for i, name in enumerate(damaged):
    try:
        safetensors.deserialize(open(name, "rb").read())
    except safetensors.SafetensorError as error:
        refused += 1
        assert answers[str(i)] != "ok", (name, str(error))
print(f"interop_torch {real}: to PyTorch {saved:.1e}, from PyTorch {loaded:.1e}, {len(names)} types, "
      f"{refused} of {len(damaged)} damaged files refused by both")
