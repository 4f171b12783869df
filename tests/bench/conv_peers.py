"""conv_peers.py [passes|lenet|cifar]: the work of conv.c in PyTorch, one thread, for both of its layouts.

passes prints GFLOP/s of y, dx and dw for the shapes of conv.c; the others images per second of CPU time
while training, and in batches of 256 and of one image."""
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

SHAPES = [  # images, size, channels in and out, kernel, stride
    (128, 32, 3, 32, 3, 1), (128, 32, 32, 32, 3, 1), (128, 32, 32, 64, 3, 1), (128, 32, 64, 64, 3, 1),
    (128, 16, 64, 128, 3, 1), (128, 16, 128, 128, 3, 1), (64, 28, 1, 32, 5, 1), (64, 14, 32, 64, 5, 1),
    (128, 32, 32, 64, 3, 2), (128, 32, 64, 128, 3, 2), (128, 32, 64, 64, 1, 1), (128, 16, 128, 128, 1, 1)]
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def best(f, seconds=0.3):
    """The shortest CPU time of f, after one call to warm up."""
    f()
    shortest, end = 1e9, time.process_time() + seconds
    while time.process_time() < end:
        start = time.process_time()
        f()
        shortest = min(shortest, time.process_time() - start)
    return shortest


def passes():
    for n, size, ci, co, k, s in SHAPES:
        for name, layout in LAYOUTS.items():
            x = torch.randn(n, ci, size, size).to(memory_format=layout)
            w = torch.randn(co, ci, k, k).to(memory_format=layout)
            y = F.conv2d(x, w, stride=s, padding=k // 2)
            dy = torch.randn_like(y)
            back = lambda mask: torch.ops.aten.convolution_backward(
                dy, x, w, None, [s, s], [k // 2] * 2, [1, 1], False, [0, 0], 1, mask)
            times = [best(lambda: F.conv2d(x, w, stride=s, padding=k // 2)),
                     best(lambda: back([True, False, False])), best(lambda: back([False, True, False]))]
            rates = ["%s %6.1f" % (p, 2e-9 * y.numel() * ci * k * k / t) for p, t in zip(("y", "dx", "dw"), times)]
            print("%dx%d %d-%d @%d%s x%d %-13s %s" % (k, k, ci, co, size, " s2" if s > 1 else "", n, name,
                                                      "  ".join(rates)), flush=True)


def network(case):
    if case == "lenet":
        layers = [nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 5, padding=2),
                  nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3136, 64), nn.ReLU(), nn.Linear(64, 10)]
        return nn.Sequential(*layers), (64, 1, 28, 28)
    layers, channels = [], 3
    for i, filters in enumerate([32, 32, 64, 64, 128, 128]):
        layers += [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if i % 2 else []
        channels = filters
    layers += [nn.Flatten(), nn.Linear(2048, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*layers), (128, 3, 32, 32)


def train(case):
    for name, layout in LAYOUTS.items():
        net, shape = network(case)
        net = net.to(memory_format=layout)
        x, labels = torch.randn(shape).to(memory_format=layout), torch.randint(0, 10, shape[:1])
        optimizer, loss = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9), nn.CrossEntropyLoss()

        def step():
            optimizer.zero_grad()
            loss(net(x), labels).backward()
            optimizer.step()

        speeds = [shape[0] / best(step, 3)]
        net.eval()
        with torch.no_grad():
            for rows in (256, 1):
                images = torch.randn(rows, *shape[1:]).to(memory_format=layout)
                speeds.append(rows / best(lambda: net(images), 1))
        print("%-6s %-13s training %.0f, batches of 256 %.0f, one image %.0f images/s" % (case, name, *speeds))


torch.set_num_threads(1)
case = sys.argv[1] if len(sys.argv) > 1 else "passes"
passes() if case == "passes" else train(case)
