"""MNIST and CIFAR files written byte by byte as their pages describe them."""

import gzip
import struct

import numpy as np


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def made(n, seed, classes=10):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), (np.arange(n) % classes).astype(np.uint8)


def write_mnist(folder, *, joint="-", ending="", n=(60, 30)):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, count) in enumerate(zip(("train", "t10k"), n, strict=True)):
        images, labels = made(count, seed)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            stored = idx(array)
            name = f"{part}-{kind.replace('-', joint)}-ubyte{ending}"
            (folder / name).write_bytes(gzip.compress(stored) if ending else stored)


def write_cifar10(folder, n=12):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    records = {}
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        rows = rng.integers(0, 256, (n, 3073), dtype=np.uint8)
        rows[:, 0] = np.arange(n) % 10
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
        records[name] = rows
    return records


def write_cifar100(folder, n=200):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        rows = rng.integers(0, 256, (n, 3074), dtype=np.uint8)
        rows[:, 1] = np.arange(n) % 100
        rows[:, 0] = rows[:, 1] // 5
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
