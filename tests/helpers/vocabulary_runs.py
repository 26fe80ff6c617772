"""Runs of a vocabulary: many classes by number, of which some occur, with the frequencies of words."""

import numpy as np

import phiscope
from phiscope.runs import RunWriter, open_run


def write_vocabulary_run(path, *, words=50_000, occur=5_000, n=12_000, p=40, records=3, splits=("train",), names=None):
    """Class means that leave the noise; the run with its samples by split."""
    g = np.random.default_rng(0)
    means = g.normal(size=(occur, p)) * np.linspace(2, 0.1, p)
    labels = np.sort(g.choice(words, occur, replace=False))
    frequency = 1 / np.arange(1, occur + 1)
    y = np.concatenate([np.arange(occur), g.choice(occur, n - occur, p=frequency / frequency.sum())])
    head = g.normal(size=(words, p)), np.zeros(words)
    header = {"task": "classification", "class_names": names, "splits": list(splits)}
    writer = RunWriter.create(path, header)
    last = {}
    for record in range(records):
        measured = {}
        for split in splits:
            features = means[y] * (record + 1) / records + g.normal(size=(n, p))
            last[split] = features, labels[y]
            measured[split] = phiscope.diagonalize(
                features, head=head, targets=labels[y], num_classes=words, intervals=False
            )
        writer.append(float(record), None, {"loss": 1.0 / (record + 1)}, measured)
    writer.finish("completed")
    return open_run(path), last
