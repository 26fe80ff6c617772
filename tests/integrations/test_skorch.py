"""The callback of skorch that the guide shows."""

import re
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import phiscope

skorch = pytest.importorskip("skorch")

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "frameworks.md"


def test_the_guides_callback_observes_a_fit(tmp_path):
    code = re.search(r"## skorch.*?```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[1]
    names = {}
    exec(code, names)  # noqa: S102 -- the guide is ours, and this is how a reader runs it
    generator = np.random.default_rng(0)
    x = generator.normal(size=(80, 5)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    network = skorch.NeuralNetClassifier(
        nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2)),
        criterion=nn.CrossEntropyLoss,
        max_epochs=2,
        verbose=0,
        callbacks=[names["Observed"]((x, y), str(tmp_path / "mine"))],
    )
    network.fit(x, y)
    run = phiscope.open_run(tmp_path / "mine")
    assert [record.epoch for record in run.records] == [0.0, 1.0, 2.0]
    assert "train_loss" in run.records[-1].scalars
    assert run.status == "completed"
