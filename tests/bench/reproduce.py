"""The work of the report programs in examples/ once more, in NumPy, to time nn.h against.

    reproduce.py [--data DIR] [--only NAME]               the NumPy side alone
    reproduce.py --build DIR [--data DIR] [--out DIR] ... each program, then its counterpart here

With --build it runs the C programs of that folder (--seeds 1) and prints a table of seconds, their
ratio and peak memory, results of both sides beside each other, and writes OUT/bench_reproduce.csv.
`make bench-reproduce` calls it so. Everything runs on one thread, one after the other.

What is the same: networks, data, batch sizes, epochs, shuffles, checks and the sets evaluated in
them, the rules of early stopping, the weights and step sizes of the gradient checks, float or
double. What differs: random numbers, so that early stopping may end in another epoch (a second
ratio has NumPy's seconds scaled, net by net, to nn.h's epochs); the C programs also draw figures;
their comparison of a gradient by hand with the graph's is left out, there is no graph here. Seconds
of the C programs are those of the whole process, those of NumPy start after its import. They are
CPU seconds, which another program on the same core hardly changes; wall seconds are in the file.

What speaks for NumPy: pixels are normalised once and kept as floating-point numbers, the constant 1
is a column of theirs, results go into arrays that exist where that is easy, nothing is computed
that is not used, sums over classes run along the long axis, sigmoids come from tanh, which NumPy
vectorises. A numerical gradient is the reports' own, without knowledge of the cost: change a
weight, evaluate the cost, for each weight."""
import argparse
import csv
import importlib.util
import os
import subprocess
import sys
import time

IMAGES = 100  # of the gradient checks


# -- data --


def idx(path):
    """An IDX file of bytes: images as rows, or labels."""
    raw = np.fromfile(path, np.uint8)
    shape = raw[4 : 4 + 4 * raw[3]].view(">u4").astype(int)
    body = raw[4 + 4 * raw[3] :]
    return body.reshape(shape[0], -1) if len(shape) > 1 else body.astype(np.intp)


def mnist():
    """The first 20,000 training images and the test images, as bytes, with their labels."""
    folder = os.path.join(options.data, "mnist")
    files = [os.path.join(folder, f"{part}-{kind}-ubyte") for part in ("train", "t10k")
             for kind in ("images-idx3", "labels-idx1")]
    x, labels, x_test, labels_test = map(idx, files)
    return (x[:20000], labels[:20000]), (x_test, labels_test)


def with_one(pixels, scale, shift, dtype):
    """pixels * scale + shift with a column of ones at the right."""
    x = np.ones((len(pixels), pixels.shape[1] + 1), dtype)
    x[:, :-1] = pixels
    x[:, :-1] *= scale
    x[:, :-1] += shift
    return x


def to_range(pixels, dtype):  # [-1, 1]
    return with_one(pixels, 2 / 255, -1, dtype)


def mnist_range():
    (x, labels), (x_test, labels_test) = mnist()
    return (to_range(x, np.float32), labels), (to_range(x_test, np.float32), labels_test)


def mnist_standard(dtype, most=None):
    """(pixel - mean) / deviation, both of the training images; the first `most` images."""
    (x, labels), (x_test, labels_test) = mnist()
    counts = np.bincount(x.ravel(), minlength=256) / x.size
    mean = counts @ np.arange(256)
    deviation = (counts @ (np.arange(256) - mean) ** 2) ** 0.5
    x, x_test = (with_one(p[:most], 1 / deviation, -mean / deviation, dtype)
                 for p in (x, x_test))
    return (x, labels[:most]), (x_test, labels_test[:most])


def two_three(x, labels):
    """Twos (target 1) and threes (target 0)."""
    chosen = (labels == 2) | (labels == 3)
    return x[chosen], labels[chosen] == 2


def cifar10(real):
    """Batch 1, batch 2 and the test batch, each pixel normalised over batch 1."""
    sets = []
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        raw = np.fromfile(os.path.join(options.data, "cifar10", name + ".bin"), np.uint8)
        raw = raw.reshape(-1, 3073)
        sets.append((raw[:, 1:] / real(255), raw[:, 0].astype(np.intp)))
    mean, deviation = sets[0][0].mean(axis=0), sets[0][0].std(axis=0)
    for x, _ in sets:
        x -= mean
        x /= deviation
    return sets


# -- models: evaluate(x, labels) gives loss and accuracy, step(x, labels) trains --


def softmax_loss(z, labels):
    """Mean cross-entropy and accuracy from logits z[classes, n], which are overwritten."""
    n = len(labels)
    z -= z.max(axis=0)
    own = z[labels, np.arange(n)]
    loss = np.log(np.exp(z, out=z).sum(axis=0)).sum() - own.sum()
    return float(loss) / n, np.count_nonzero(own == 0) / n


def sigmoid(z):
    z *= 0.5
    np.tanh(z, out=z)
    z *= 0.5
    z += 0.5
    return z


def sigmoid_slope(y):
    return y * (1 - y)


def scaled_tanh(z):
    z *= 2 / 3
    np.tanh(z, out=z)
    z *= 1.7159
    return z


def scaled_tanh_slope(y):
    slope = y * y
    slope *= -2 / 3 / 1.7159
    slope += 2 / 3 * 1.7159
    return slope


SLOPE = {sigmoid: sigmoid_slope, scaled_tanh: scaled_tanh_slope}


class Network:
    """Layers without bias (the input has a constant 1), softmax cross-entropy + penalty sum w^2."""

    def __init__(self, weights, activation=None, rate=0.1, momentum=0.0, penalty=0.0):
        self.w, self.activation = weights, activation
        self.rate, self.momentum, self.penalty = rate, momentum, penalty
        self.velocity = [np.zeros_like(w) for w in weights]

    def cost_of_weights(self):
        return self.penalty * float(sum(np.vdot(w, w) for w in self.w)) if self.penalty else 0.0

    def evaluate(self, x, labels):
        for w in self.w[:-1]:
            x = self.activation(x @ w)
        loss, accuracy = softmax_loss(np.ascontiguousarray((x @ self.w[-1]).T), labels)
        return loss + self.cost_of_weights(), accuracy

    def update(self, w, velocity, gradient):
        if self.penalty:
            gradient += (2 * self.penalty) * w
        if self.momentum:
            velocity *= self.momentum
            velocity += gradient
            np.multiply(velocity, self.rate, out=gradient)
        else:
            gradient *= self.rate
        w -= gradient

    def step(self, x, labels, with_loss):
        n, y = len(x), [x]
        for w in self.w[:-1]:
            y.append(self.activation(y[-1] @ w))
        z = np.ascontiguousarray((y[-1] @ self.w[-1]).T)
        z -= z.max(axis=0)
        p = np.exp(z)
        total = p.sum(axis=0)
        own = (labels, np.arange(n))
        loss = (float(np.log(total).sum()) - float(z[own].sum())) / n if with_loss else None
        p /= total
        p[own] -= 1
        p /= n
        delta = np.ascontiguousarray(p.T)
        for i in range(len(self.w) - 1, -1, -1):
            gradient = y[i].T @ delta
            if i:
                delta = delta @ self.w[i].T
                delta *= SLOPE[self.activation](y[i])
            self.update(self.w[i], self.velocity[i], gradient)
        return loss


class Logistic:
    """One output, binary cross-entropy, labels 0 and 1."""

    def __init__(self, inputs, rate):
        self.w, self.rate = np.zeros(inputs, np.float32), rate

    def evaluate(self, x, labels):
        z = x @ self.w
        loss = np.maximum(z, 0) - z * labels + np.log1p(np.exp(-np.abs(z)))
        return float(loss.sum()) / len(z), np.count_nonzero((z > 0) == labels) / len(z)

    def step(self, x, labels, with_loss):
        delta = sigmoid(x @ self.w)
        delta -= labels
        self.w -= (self.rate / len(x)) * (delta @ x)


class Linear:
    """DD2424's layer: W[10, 3072], b, cost = cross-entropy + penalty sum W^2."""

    def __init__(self, rng, rate, penalty, real):
        self.w = rng.normal(0, 0.01, (10, 3072)).astype(real)
        self.b = rng.normal(0, 0.01, (10, 1)).astype(real)
        self.rate, self.penalty = real(rate), real(penalty)

    def evaluate(self, x, labels):
        z = self.w @ x.T
        z += self.b
        loss, accuracy = softmax_loss(z, labels)
        return loss + (self.penalty * np.vdot(self.w, self.w) if self.penalty else 0), accuracy

    def gradients(self, x, labels):
        delta = self.w @ x.T
        delta += self.b
        delta -= delta.max(axis=0)
        np.exp(delta, out=delta)
        delta /= delta.sum(axis=0)
        delta[labels, np.arange(len(x))] -= 1
        delta /= len(x)
        gradient = delta @ x
        if self.penalty:
            gradient += (2 * self.penalty) * self.w
        return gradient, delta.sum(axis=1, keepdims=True)

    def step(self, x, labels, with_loss):
        gradient, of_bias = self.gradients(x, labels)
        gradient *= self.rate
        self.w -= gradient
        self.b -= self.rate * of_bias


# -- training, as nn_train does it --


class History:
    def __init__(self):
        self.checks, self.step_loss, self.epochs = [], [], 0  # a check: epoch, step, losses, ...


def train(model, data, validation, epochs, batch, rng=None, checks_per_epoch=5, drop_last=False,
          evaluate_training=True, log_steps=False, patience=0, stop=None):
    """Checks after step s whenever s % (steps per epoch / checks_per_epoch) == 0, or (0) at the end
    of an epoch; rng shuffles before each epoch; patience and stop(validation loss) end it."""
    x, labels = data
    history, best, worse, step = History(), np.inf, 0, 0
    steps = len(x) // batch if drop_last else -(-len(x) // batch)
    every = max(steps // checks_per_epoch, 1) if checks_per_epoch else 0
    for epoch in range(epochs):
        history.epochs = epoch + 1
        order = rng.permutation(len(x)) if rng else None
        for i in range(steps):
            rows = slice(i * batch, i * batch + batch)
            if rng:
                rows = order[rows]
            loss = model.step(x[rows], labels[rows], log_steps)
            if log_steps:
                history.step_loss.append(loss)
            check = step % every == 0 if every else i == steps - 1
            step += 1
            if not check:
                continue
            on_training = model.evaluate(x, labels) if evaluate_training else (None, None)
            on_validation = model.evaluate(*validation)
            history.checks.append((epoch, step) + on_training + on_validation)
            worse = 0 if on_validation[0] < best else worse + 1
            best = min(best, on_validation[0])
            if (patience and worse >= patience) or (stop and stop(on_validation[0])):
                return history
    return history


# -- gradient checks --


def numerical(cost, w, eps):
    """Central differences of cost() in each weight of the array w."""
    flat, difference = w.reshape(-1), np.empty(w.size)
    for i in range(flat.size):
        keep = flat[i]
        flat[i] = keep + eps
        up = cost()
        flat[i] = keep - eps
        difference[i] = up - cost()
        flat[i] = keep
    difference /= 2 * eps
    return difference.reshape(w.shape)


def a1_gradients():
    (x, labels), _ = mnist()
    digits = to_range(x[:IMAGES], np.float64)
    pair, is_two = two_three(x, labels)
    pair, target = to_range(pair[:IMAGES], np.float64), is_two[:IMAGES].astype(np.float64)
    one_hot = np.eye(10)[labels[:IMAGES]].T
    rng = np.random.default_rng(0)

    def logistic_cost():
        z = pair @ w
        loss = np.maximum(z, 0) - z * target + np.log1p(np.exp(-np.abs(z)))
        return loss.sum() / IMAGES + (penalty * np.dot(w, w) if penalty else 0)

    def logistic_gradient():
        return (sigmoid(pair @ w) - target) @ pair / IMAGES + 2 * penalty * w

    def softmax_cost():
        z = w @ columns
        z -= z.max(axis=0)
        own = np.vdot(one_hot, z)
        loss = np.log(np.exp(z, out=z).sum(axis=0)).sum() - own
        return loss / IMAGES + (penalty * np.vdot(w, w) if penalty else 0)

    def softmax_gradient():
        p = np.exp(w @ columns)
        return (p / p.sum(axis=0) - one_hot) @ digits / IMAGES + 2 * penalty * w

    columns = np.ascontiguousarray(digits.T)
    cases = (("1a", "logistic", (785,), 0, logistic_cost, logistic_gradient),
             ("1a", "logistic with L2", (785,), 0.1, logistic_cost, logistic_gradient),
             ("1b 3a", "softmax", (10, 785), 0, softmax_cost, softmax_gradient),
             ("4a", "softmax with L2", (10, 785), 0.1, softmax_cost, softmax_gradient))
    for task, what, shape, penalty, cost, gradient in cases:
        for at in ("w = 0", "w in U(-1,1)"):
            w = np.zeros(shape) if at == "w = 0" else rng.uniform(-1, 1, shape)
            analytic = gradient()
            for eps in (1e-2, 1e-3):
                worst = np.abs(numerical(cost, w, eps) - analytic).max()
                result("R1 R2", task, f"{what}, {at}, eps {eps}", worst)


def a2_gradients():
    (x, labels), _ = mnist_standard(np.float64, IMAGES)
    rows = np.arange(IMAGES)
    rng = np.random.default_rng(0)

    def forward():
        y = [x]
        for layer in w[:-1]:
            y.append(activation(y[-1] @ layer))
        z = (y[-1] @ w[-1]).T.copy()
        z -= z.max(axis=0)
        return y, z

    def cost():
        y, z = forward()
        own = z[labels, rows].sum()
        return (np.log(np.exp(z, out=z).sum(axis=0)).sum() - own) / IMAGES

    def backward():
        y, p = forward()
        np.exp(p, out=p)
        p /= p.sum(axis=0)
        p[labels, rows] -= 1
        delta, gradients = p.T / IMAGES, []
        for i in range(len(w) - 1, -1, -1):
            gradients.insert(0, y[i].T @ delta)
            if i:
                delta = delta @ w[i].T * SLOPE[activation](y[i])
        return gradients

    def check(task, what):
        worst = max(np.abs(numerical(cost, a, 1e-3) - b).max() for a, b in zip(w, backward()))
        result("R3 R4", task, what, worst)

    for task, what, sizes, activation in (
            ("1a 1b", "785-64-10, sigmoid", (785, 64, 10), sigmoid),
            ("3b", "785-64-10, improved sigmoid", (785, 64, 10), scaled_tanh),
            ("4c", "785-64-64-10, improved sigmoid", (785, 64, 64, 10), scaled_tanh)):
        w = [rng.uniform(-1, 1, pair) for pair in zip(sizes, sizes[1:])]
        check(task, what + ", numerical")
    # the program checks the last net twice: its own gradient and that of nn.h's graph
    check("4c", "785-64-64-10, nn_gradcheck")


# -- the tasks --


def percent(history, training):
    return 100 * history.checks[-1][3 if training else 5]


def logistic():
    sets = [two_three(x, labels) for x, labels in mnist_range()]
    settings = dict(batch=128, drop_last=True)

    def model():
        return Logistic(785, 0.05)

    def largest_drop(history):
        accuracy = np.array([c[5] for c in history.checks[5:]])
        return 100 * max(0, (accuracy[:-1] - accuracy[1:]).max())

    stopped = train(model(), *sets, epochs=500, patience=10, **settings)
    result("R2", "2d", "epoch of the stop, counted from 0", stopped.checks[-1][0])
    result("R2", "2d", "training accuracy, %", percent(stopped, True))
    result("R2", "2d", "validation accuracy, %", percent(stopped, False))

    losses = []

    def mean_rises(loss):
        losses.append(loss)
        return len(losses) > 5 and sum(losses[-5:]) > sum(losses[-6:-1])

    early = train(model(), *sets, epochs=500, stop=mean_rises, **settings)
    result("R1", "2d", "epochs begun at the stop", early.epochs)
    result("R1", "2d", "training accuracy, %", percent(early, True))
    result("R1", "2d", "validation accuracy, %", percent(early, False))

    shuffled = train(model(), *sets, epochs=stopped.epochs, rng=np.random.default_rng(0),
                     **settings)
    result("R1 R2", "2e", "in order: largest drop of accuracy, points", largest_drop(stopped))
    result("R1 R2", "2e", "shuffled: the same", largest_drop(shuffled))
    result("R1 R2", "2e", "shuffled: training accuracy, %", percent(shuffled, True))
    result("R1 R2", "2e", "shuffled: validation accuracy, %", percent(shuffled, False))


def regression(data, validation, penalty, evaluate_training):
    """Softmax regression of assignment 1, tasks 3 and 4."""
    net = Network([np.zeros((785, 10), np.float32)], rate=0.01, penalty=penalty)
    return net, train(net, data, validation, epochs=50, batch=128, rng=np.random.default_rng(0),
                      drop_last=True, evaluate_training=evaluate_training)


def softmax():
    _, history = regression(*mnist_range(), 0, True)
    last = history.checks[-1]
    result("R2", "3c", "training accuracy, %", percent(history, True))
    result("R2", "3c", "validation accuracy, %", percent(history, False))
    result("R2", "3b", "training loss", last[2])
    result("R2", "3b", "validation loss", last[4])
    result("R2", "3d", "validation loss: last check - best check",
           last[4] - min(c[4] for c in history.checks))


def l2():
    sets = mnist_range()
    for penalty in (0, 0.001, 0.01, 0.1, 1):
        net, history = regression(*sets, penalty, False)
        squared = float(np.vdot(net.w[0], net.w[0]))
        result("R1 R2", "4c 4d", f"lambda {penalty}: validation accuracy, %",
               100 * sum(c[5] for c in history.checks[-5:]) / 5)
        result("R1 R2", "4e", f"lambda {penalty}: L2 norm of the weights", squared**0.5)
        result("R1 R2", "4e", f"lambda {penalty}: its square", squared)


TASK_3B = (True, "scaled_tanh", 0.1, 0)  # scaled weights, activation, learning rate, momentum
TASK_3C = (True, "scaled_tanh", 0.02, 0.9)


def multi_layer(sets, report, task, label, hidden, settings, epochs=50, patience=50):
    """Trains a net of assignment 2; report None: one without results in the C program either."""
    start = time.process_time()
    scaled, activation, rate, momentum = settings
    rng = np.random.default_rng(0)
    sizes = [785] + hidden + [10]
    weights = [rng.normal(0, a**-0.5, (a, b)) if scaled else rng.uniform(-1, 1, (a, b))
               for a, b in zip(sizes, sizes[1:])]
    net = Network([w.astype(np.float32) for w in weights], globals()[activation], rate, momentum)
    history = train(net, *sets, epochs=epochs, batch=32, rng=rng, log_steps=True,
                    patience=patience)
    (loss, accuracy), (loss_test, accuracy_test) = (net.evaluate(*s) for s in sets)
    if patience:
        emit("net", label, history.epochs, time.process_time() - start)
    if not report:
        return
    fast = [c[1] for c in history.checks if c[5] >= 0.9]
    result(report, task, f"{label}: training loss", loss)
    result(report, task, f"{label}: training accuracy, %", 100 * accuracy)
    result(report, task, f"{label}: validation loss", loss_test)
    result(report, task, f"{label}: validation accuracy, %", 100 * accuracy_test)
    result(report, task, f"{label}: epochs begun at the stop", history.epochs)
    result(report, task, f"{label}: epochs to 90 % validation accuracy",
           (fast[0] - 1) / 625 if fast else np.nan)


def mlp():
    multi_layer(mnist_standard(np.float32), "R3 R4", "2c", "base net", [64],
                (False, "sigmoid", 0.1, 0))


def tricks():
    sets = mnist_standard(np.float32)
    multi_layer(sets, None, "2c", "base net", [64], (False, "sigmoid", 0.1, 0))
    multi_layer(sets, "R3 R4", "3a", "3a scaled weights", [64], (True, "sigmoid", 0.1, 0))
    multi_layer(sets, "R3 R4", "3b", "3b improved sigmoid", [64], TASK_3B)
    multi_layer(sets, "R3 R4", "3c", "3c momentum", [64], TASK_3C)
    multi_layer(sets, "R3", "3c", "3c momentum, rate 0.03", [64], (True, "scaled_tanh", 0.03, 0.9))


def topology():
    sets = mnist_standard(np.float32)
    multi_layer(sets, "R3", "4a", "32 units, 3b", [32], TASK_3B)
    multi_layer(sets, "R3", "4a 4b", "64 units, 3b", [64], TASK_3B)
    multi_layer(sets, "R3", "4b", "128 units, 3b", [128], TASK_3B)
    multi_layer(sets, "R4", "4a", "32 units, 3c", [32], TASK_3C)
    multi_layer(sets, "R4", "4a 4b", "64 units, 3c", [64], TASK_3C)
    multi_layer(sets, "R4", "4b", "128 units, 3c", [128], TASK_3C)
    multi_layer(sets, "R3", "4d", "2 layers of 59", [59] * 2, TASK_3C)
    multi_layer(sets, "R4", "4d", "2 layers of 32", [32] * 2, TASK_3C)
    multi_layer(sets, "R3", "4e", "10 layers of 64", [64] * 10, TASK_3C, epochs=30)
    multi_layer(sets, None, "time", "64 units, 3c", [64], TASK_3C, patience=0)
    multi_layer(sets, None, "time", "128 units, 3c", [128], TASK_3C, patience=0)


def linear_gradients():
    data = cifar10(np.float64)[0]
    x, labels = data[0][:20], data[1][:20]
    for penalty in (0, 0.1):
        model = Linear(np.random.default_rng(0), 0, penalty, np.float64)
        worst = np.zeros((2, 2))
        gradients, here = model.gradients(x, labels), model.evaluate(x, labels)[0]
        for parameter, gradient in zip((model.w, model.b), gradients):
            flat, f = parameter.reshape(-1), np.empty((parameter.size, 3))
            for i in range(flat.size):
                keep = flat[i]
                for k, step in enumerate((1e-5, -1e-5, 1e-7)):
                    flat[i] = keep + step
                    f[i, k] = model.evaluate(x, labels)[0]
                flat[i] = keep
            analytic = gradient.reshape(-1)
            for k, numeric in enumerate(((f[:, 0] - f[:, 1]) / 2e-5, (f[:, 2] - here) / 1e-7)):
                difference = np.abs(analytic - numeric)
                size = np.maximum(1e-6, np.abs(analytic) + np.abs(numeric))
                worst[k] = np.maximum(worst[k], (difference.max(), (difference / size).max()))
        for k, name in enumerate(("centred", "one-sided")):
            result("R5", "1", f"gradients, lambda {penalty}: {name}, absolute", worst[k, 0])
            result("R5", "1", f"gradients, lambda {penalty}: {name}, relative", worst[k, 1])


def linear():
    data, validation, test = cifar10(np.float32)
    for e, (penalty, rate) in enumerate(((0, 0.1), (0, 0.001), (0.1, 0.001), (1, 0.001))):
        model = Linear(np.random.default_rng(0), rate, penalty, np.float32)
        history = train(model, data, validation, epochs=40, batch=100, checks_per_epoch=0)
        result("R5", f"exp {e + 1}", "training cost", history.checks[-1][2])
        result("R5", f"exp {e + 1}", "validation cost", history.checks[-1][4])
        result("R5", f"exp {e + 1}", "test accuracy, %", 100 * model.evaluate(*test)[1])


PROGRAMS = {
    "tdt4265_a1_task1_gradients": a1_gradients,
    "tdt4265_a1_task2_logistic": logistic,
    "tdt4265_a1_task3_softmax": softmax,
    "tdt4265_a1_task4_l2": l2,
    "tdt4265_a2_task1_gradients": a2_gradients,
    "tdt4265_a2_task2_mlp": mlp,
    "tdt4265_a2_task3_tricks": tricks,
    "tdt4265_a2_task4_topology": topology,
    "dd2424_a1_gradients": linear_gradients,
    "dd2424_a1_linear": linear,
}


def stop(message):
    sys.exit(f"bench-reproduce: {message}")


# -- one counterpart, in a process of its own: lines "result,REPORT,TASK,QUANTITY,VALUE", for what
#    stops early "net,LABEL,EPOCHS,CPU SECONDS", and at last "time,WALL SECONDS,CPU SECONDS" --


def emit(*values):
    csv.writer(sys.stdout).writerow(values)
    sys.stdout.flush()


def result(report, task, quantity, value):
    emit("result", report, task, quantity, f"{value:.9g}")


def counterpart(name):
    global np
    try:
        import numpy as np
    except ImportError as error:
        stop(f"NumPy cannot be imported: {error}")
    start, cpu = time.perf_counter(), time.process_time()
    PROGRAMS[name]()
    emit("time", time.perf_counter() - start, time.process_time() - cpu)


# -- the measurement. This process never imports NumPy: a child starts with its parent's peak of
#    memory. --


class Run:
    """What became of a program: its results by (report, task, quantity), time, peak of memory."""

    def __init__(self, command):
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status  # so that Popen does not wait for it, too
        self.wall = time.perf_counter() - start
        self.cpu = usage.ru_utime + usage.ru_stime
        self.mb = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
        if status:
            stop(f"failed: {' '.join(command)}\n{self.output[-2000:]}".rstrip())
        self.results, self.nets = {}, {}


def run_numpy(name):
    run = Run([sys.executable, __file__, "--counterpart", name, "--data", options.data])
    for kind, *values in csv.reader(run.output.splitlines()):
        if kind == "result":
            run.results[tuple(values[:3])] = float(values[3])
        elif kind == "net":
            run.nets[values[0]] = (float(values[1]), float(values[2]))
        else:
            run.wall, run.cpu = map(float, values)
    return run


def run_nn(name):
    folder = os.path.join(options.build, "bench_reproduce")
    run = Run([os.path.join(options.build, name), "--data", options.data, "--out", folder,
               "--seeds", "1"])
    with open(os.path.join(folder, name + ".csv"), encoding="utf-8") as f:
        for r in csv.DictReader(f):
            if r["mean"]:
                run.results[r["report"], r["task"], r["quantity"]] = float(r["mean"])
    return run


EPOCHS = ": epochs begun at the stop"


def at_same_epochs(numpy, stops):
    """NumPy's seconds, had each net stopped after as many epochs as nn.h's; stops: those known."""
    return numpy.cpu + sum(seconds * (stops[label] / epochs - 1)
                           for label, (epochs, seconds) in numpy.nets.items() if label in stops)


def is_shown(key):
    """What shows at a glance that both sides computed the same."""
    return any(part in key[2] for part in ("accuracy, %", "epoch of the stop", EPOCHS[2:], " eps ",
                                           "numerical", "gradcheck", "gradients"))


HEAD = "program                        nn.h s   numpy s   ratio  same epochs  nn.h MB  numpy MB"
FIELDS = ("program,nn_seconds,numpy_seconds,ratio,ratio_same_epochs,nn_mb,numpy_mb,"
          "nn_wall_seconds,numpy_wall_seconds")


def table_line(name, nn, numpy, same, nn_mb, numpy_mb, *_):
    return (f"{name:<28} {nn:8.2f} {numpy:9.2f} {numpy / nn:7.2f} {same / nn:12.2f} "
            f"{nn_mb:8.0f} {numpy_mb:9.0f}")


def compare(names):
    os.makedirs(options.out, exist_ok=True)
    lines, stops = [], {}
    print("CPU seconds of one thread; results: nn.h, NumPy")
    print(HEAD)
    for name in names:
        nn, numpy = run_nn(name), run_numpy(name)
        stops.update({key[2][: -len(EPOCHS)]: value for key, value in nn.results.items()
                      if key[2].endswith(EPOCHS)})
        lines.append((name, nn.cpu, numpy.cpu, at_same_epochs(numpy, stops), nn.mb, numpy.mb,
                      nn.wall, numpy.wall))
        print(table_line(*lines[-1]))
        for key, value in numpy.results.items():
            if key not in nn.results:
                stop(f"{name} has no result for {', '.join(key)}")
            if is_shown(key):
                print(f"    {' '.join(key):<60} {nn.results[key]:11.5g} {value:11.5g}")
        sys.stdout.flush()
    columns = list(zip(*lines))[1:]
    lines.append(["total"] + [(max if i in (3, 4) else sum)(c) for i, c in enumerate(columns)])
    print()
    print(HEAD)
    for line in lines:
        print(table_line(*line))
    nn_wall, numpy_wall = lines[-1][6:]
    print(f"wall seconds: nn.h {nn_wall:.1f}, NumPy {numpy_wall:.1f}")
    path = os.path.join(options.out, "bench_reproduce.csv")
    with open(path, "w", encoding="utf-8") as f:
        print(FIELDS, file=f)
        for name, nn, numpy, same, *others in lines:
            values = (nn, numpy, numpy / nn, same / nn, *others)
            print(",".join([name] + [f"{v:.4g}" for v in values]), file=f)
    print(f"wrote {path}")


def numpy_alone(names):
    total = 0
    for name in names:
        print(name)
        run = run_numpy(name)
        for key, value in run.results.items():
            print(f"    {' '.join(key):<70} {value:11.5g}")
        print(f"    {run.cpu:.2f} CPU seconds, {run.wall:.2f} wall seconds, {run.mb:.0f} MB")
        print(f"csv,{name},{run.cpu:.4g},{run.wall:.4g},{run.mb:.4g}")
        sys.stdout.flush()
        total += run.cpu
    print(f"csv,total,{total:.4g}")


def main():
    global options
    parser = argparse.ArgumentParser(description="The report programs in NumPy, timed.")
    parser.add_argument("--data", default="data", help="where mnist/ and cifar10/ are")
    parser.add_argument("--build", help="where the C programs are: times them, too")
    parser.add_argument("--out", default="out", help="where bench_reproduce.csv goes")
    parser.add_argument("--only", default="", help="programs with this in their names")
    parser.add_argument("--counterpart", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.counterpart:
        return counterpart(options.counterpart)
    names = [name for name in PROGRAMS if options.only in name]
    if not names:
        stop(f"no program has {options.only} in its name; there are {', '.join(PROGRAMS)}")
    if not importlib.util.find_spec("numpy"):
        stop(f"NumPy is not installed for {sys.executable}")
    for file in ("mnist/train-images-idx3-ubyte", "cifar10/data_batch_1.bin"):
        if not os.path.exists(os.path.join(options.data, file)):
            stop(f"{options.data}/{file} is missing; 'make data' fetches it, or NN_DATA names "
                 "another folder")
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    try:  # OpenBLAS takes a slower kernel than the CPU has when it does not know the model
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            if "avx512f" in f.read():
                os.environ.setdefault("OPENBLAS_CORETYPE", "SKYLAKEX")
    except OSError:
        pass
    return compare(names) if options.build else numpy_alone(names)


main()
