"""The network of examples/mnist_mlp.c in PyTorch: python load_in_pytorch.py mnist.safetensors"""
import sys, torch
from safetensors.torch import load_file

t = load_file(sys.argv[1])
hidden, output = torch.nn.Linear(784, 64), torch.nn.Linear(64, 10, bias=False)
hidden.weight.data, hidden.bias.data = t["dense0.weight"].T, t["dense0.bias"]  # PyTorch: [out, in]
output.weight.data = t["dense1.weight"].T

def logits(pixels):  # of bytes [batch, 784], normalised as the training data was
    return output(1.7159 * torch.tanh(hidden(pixels * t["data.scale"] + t["data.shift"]) * 2 / 3))
