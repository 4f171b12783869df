"""interop.py BUILD: what other libraries make of the files that nn.h writes, and the other way round.

npy and npz with NumPy; ONNX files of test_export, which have their inputs and outputs beside them,
with onnx and onnxruntime. What is not installed is skipped with a line.
"""
import glob, itertools, os, subprocess, sys

build = sys.argv[1] if len(sys.argv) > 1 else "build"
try:
    import numpy as np
except ImportError:
    print("skipped: interop: Python has no numpy")
    sys.exit(0)
passed = failed = 0


def check(name, good):
    global passed, failed
    passed += bool(good)
    failed += not good
    if not good:
        print("FAILED:", name)


def same(a, b):
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=True)


def npy(real):
    folder = os.path.join(build, "tmp", "interop")
    os.makedirs(folder, exist_ok=True)
    program = os.path.join(build, "interop_files_" + real)
    path = lambda name: os.path.join(folder, name)
    run = lambda *words: subprocess.run([program, *words]).returncode == 0
    rng = np.random.default_rng(1)
    kinds = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]
    shapes = [(), (5,), (0, 3), (3, 4), (2, 3, 4), (1, 2, 1, 3, 1, 2, 1, 2)]
    for kind, order, shape, fortran, version in itertools.product(
            kinds, "<>", shapes, (False, True), ((1, 0), (2, 0), (3, 0))):
        x = np.asarray(rng.normal(size=shape) * 50).astype(np.dtype(kind).newbyteorder(order))
        x = np.asfortranarray(x) if fortran and shape else x
        with open(path("x.npy"), "wb") as file:
            np.lib.format.write_array(file, x, version=version)
        good = run("read", path("x.npy"), path("y.npy"))
        want = x.astype(np.float32 if real == "float" else np.float64)
        check(f"npy {kind} {order} {shape} {fortran} {version}",
              good and same(np.load(path("y.npy")), want))
    x = rng.integers(0, 256, (7, 3, 2)).astype("u1")
    y = rng.integers(0, 4, 7)
    np.savez(path("z.npz"), x=x, labels=y, big=y.astype(">u4"))
    for name, want in (("x", x), ("labels", y), ("big", y)):
        check("npz member " + name,
              run("member", path("z.npz"), name, path("y.npy")) and
              same(np.load(path("y.npy")), want.astype("f8")))
    np.save(path("x.npy"), x)
    np.save(path("l.npy"), y)
    check("data set", run("dataset", path("x.npy"), path("l.npy"), path("d.npz")))
    data = np.load(path("d.npz"))
    check("data set's samples", data["samples"].dtype == np.uint8 and same(data["samples"], x))
    check("data set's labels", same(data["labels"], y))
    check("several", run("several", path("s.npz")))
    several = np.load(path("s.npz"))
    check("several's names", sorted(several.files) == ["a", "b/c", "scalar"])
    check("several's arrays", same(several["a"], np.arange(6.).reshape(2, 3)) and
          same(several["b/c"], np.arange(4.)) and same(several["scalar"], np.array(0.)))
    np.save(path("o.npy"), np.array([{}, 1], dtype=object), allow_pickle=True)
    check("pickled objects", subprocess.run([program, "read", path("o.npy"), path("y.npy")],
                                            stderr=subprocess.PIPE).stderr.find(b"pickled") >= 0)


def onnx_files(real):
    try:
        import onnx, onnxruntime
    except ImportError:
        print("skipped: interop: Python has no onnx or no onnxruntime")
        return
    files = sorted(glob.glob(os.path.join(build, "tmp", f"test_export_{real}", "*.onnx")))
    check(f"onnx files of test_export_{real}", len(files) >= 7)
    for file in files:
        onnx.checker.check_model(onnx.load(file), full_check=True)
        x, y = np.load(file[:-5] + "_in.npy"), np.load(file[:-5] + "_out.npy")
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        found = session.run(["output"], {"input": x.astype(np.float32)})[0]
        with np.errstate(over="ignore"):  # what only a double holds is infinite in the file's floats
            y = y.astype(np.float32)
        # 88.7 is where exp of a float overflows: the last bit of an input decides
        fine = np.isclose(y, found, rtol=1e-5, atol=1e-5, equal_nan=True)
        fine |= np.isinf(found) & (np.abs(y) > 1e38)
        check(f"{file}: {np.sum(~fine)} of {fine.size} outputs differ", fine.all())


for real in ("float", "double"):
    npy(real)
    onnx_files(real)
print(f"interop: {passed} passed, {failed} failed")
sys.exit(failed != 0)
