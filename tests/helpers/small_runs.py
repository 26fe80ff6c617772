"""Small real measurements and runs on disk, as a study would leave them."""

import numpy as np

import phiscope
from phiscope.runs import RunWriter

HEADER = {
    "name": "mine",
    "title": "A run",
    "splits": ["train", "test"],
    "class_names": ["zero", "<b>one</b>"],
}


def measured(seed=0, n=40, p=5):
    """A small real measurement: two classes, a linear head."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, p))
    head = (rng.normal(size=(2, p)), rng.normal(size=2))
    return phiscope.diagonalize(features, head=head, targets=np.arange(n) % 2)


def written_run(path, name, *, seed=0, epochs=2, status="completed"):
    """A small run on disk, as a study would leave it."""
    rng = np.random.default_rng(seed)
    writer = RunWriter.create(path, {"name": name, "splits": ["train", "test"], "task": "classification"})
    for epoch in range(epochs):
        features, targets = rng.normal(size=(40, 5)), np.arange(40) % 2
        m = phiscope.diagonalize(features, head=(rng.normal(size=(2, 5)), np.zeros(2)), targets=targets)
        writer.append(epoch, epoch, {"test_accuracy": 0.5 + seed / 8}, {"train": m, "test": m})
    writer.finish(status)
    return path
