"""peers.py numpy|torch CASE: the work of bench.c's training cases, for comparison. Prints images per
second of training (or seconds per image for the latency case); exits 3 when the package is missing.

The same work as nn_train: a new order each epoch, gather with normalisation from bytes, forward, mean
cross-entropy, backward, momentum update, all in float32."""
import sys
import time

CASES = {  # sizes, activation, batch, images, epochs
    "784-64-10": ([784, 64, 10], "sigmoid", 32, 20000, 2),
    "784-64-10 batch 128": ([784, 64, 10], "sigmoid", 128, 20000, 2),
    "784-512-512-10": ([784, 512, 512, 10], "relu", 128, 20000, 1),
    "latency": ([784, 64, 10], "sigmoid", 1, 2000, 1),
}


def numpy_case(sizes, activation, batch, images, epochs, latency):
    import numpy as np

    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (images, sizes[0]), dtype=np.uint8)
    labels = rng.integers(0, sizes[-1], images)
    scale, shift = np.float32(1 / 78.8755), np.float32(-33.5527 / 78.8755)
    w = [(rng.standard_normal((a, b)) / a**0.5).astype(np.float32) for a, b in zip(sizes, sizes[1:])]
    b = [np.zeros(n, np.float32) for n in sizes[1:]]
    v = [np.zeros_like(p) for p in w + b]
    rate, momentum = np.float32(0.02), np.float32(0.9)
    one = np.float32(1)

    def hidden(z):
        return one / (one + np.exp(-z)) if activation == "sigmoid" else np.maximum(z, 0)

    def slope(y):
        return y * (one - y) if activation == "sigmoid" else (y > 0).astype(np.float32)

    def forward(x):
        y = [x]
        for i in range(len(w)):
            z = y[-1] @ w[i]
            z += b[i]
            y.append(hidden(z) if i + 1 < len(w) else z)
        return y

    def softmax(z):
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return p

    if latency:
        x = pixels.astype(np.float32) * scale + shift
        start = time.perf_counter()
        for i in range(images):
            softmax(forward(x[i : i + 1])[-1])
        return (time.perf_counter() - start) / images

    def epoch():
        order = rng.permutation(images)
        for i in range(0, images - batch + 1, batch):
            rows = order[i : i + batch]
            x = pixels[rows].astype(np.float32)
            x *= scale
            x += shift
            y = forward(x)
            d = softmax(y[-1])
            d[np.arange(batch), labels[rows]] -= one
            d *= np.float32(1 / batch)
            for layer in range(len(w) - 1, -1, -1):
                gradients = (y[layer].T @ d, d.sum(axis=0))
                if layer:
                    d = d @ w[layer].T
                    d *= slope(y[layer])
                for p, g, k in ((w[layer], gradients[0], layer), (b[layer], gradients[1], len(w) + layer)):
                    v[k] *= momentum
                    v[k] += g
                    p -= rate * v[k]

    epoch()
    start = time.perf_counter()
    for _ in range(epochs):
        epoch()
    return images // batch * batch * epochs / (time.perf_counter() - start)


def torch_case(sizes, activation, batch, images, epochs, latency):
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(1)
    pixels = torch.randint(0, 256, (images, sizes[0]), dtype=torch.uint8)
    labels = torch.randint(0, sizes[-1], (images,))
    layers = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [torch.nn.Linear(a, b), torch.nn.Sigmoid() if activation == "sigmoid" else torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    scale, shift = 1 / 78.8755, -33.5527 / 78.8755
    if latency:
        x = pixels.float() * scale + shift
        with torch.inference_mode():
            frozen = torch.jit.freeze(torch.jit.script(net.eval()))
            for i in range(100):
                frozen(x[i : i + 1])
            start = time.perf_counter()
            for i in range(images):
                frozen(x[i : i + 1])
        return (time.perf_counter() - start) / images
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)

    def epoch():
        order = torch.randperm(images)
        for i in range(0, images - batch + 1, batch):
            rows = order[i : i + batch]
            x = pixels[rows].float().mul_(scale).add_(shift)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x), labels[rows]).backward()
            optimizer.step()

    epoch()
    start = time.perf_counter()
    for _ in range(epochs):
        epoch()
    return images // batch * batch * epochs / (time.perf_counter() - start)


def main():
    run = {"numpy": numpy_case, "torch": torch_case}[sys.argv[1]]
    try:
        print(run(*CASES[sys.argv[2]], sys.argv[2] == "latency"))
    except ImportError:
        sys.exit(3)


main()
