"""The fixed samples on which leading eigenfunctions are shown."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from small_training import X, Y, network


@pytest.fixture
def net():
    torch.manual_seed(0)
    return network()


@pytest.fixture
def probe():
    return {"train": (X, Y), "test": (X[:30], Y[:30])}


def test_gallery_values_are_those_of_the_eigenfunctions(net, probe, tmp_path):
    shuffled = DataLoader(TensorDataset(X, Y), batch_size=10, shuffle=True)
    with phiscope.Observer(net, {**probe, "mixed": shuffled}, run=tmp_path / "r", gallery=25) as observer:
        observer.record(epoch=0)
        observer.record(epoch=1)
    run = phiscope.open_run(tmp_path / "r")
    feature_map, _ = phiscope.split(net, X)
    for split in ("train", "test", "mixed"):
        gallery = run.gallery(split)
        assert gallery.inputs.shape == (25, 1, 6, 6)
        assert gallery.targets.shape == (25,)
        for record in run.records:
            measured, extras = record.measurement(split), record.extras(split)
            for centered, name in ((False, "gallery_raw"), (True, "gallery_centered")):
                assert extras[name].shape == (25, 6)
                wanted = measured.eigenfunctions(feature_map(torch.from_numpy(gallery.inputs)), centered=centered)
                np.testing.assert_allclose(extras[name], wanted[:, :6], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(run.gallery("train").inputs, X[:25].numpy())
    assert set(map(tuple, run.gallery("mixed").inputs.reshape(25, -1))) != set(
        map(tuple, X[:25].reshape(25, -1).numpy())
    )


@pytest.mark.parametrize("reason", ["none asked for", "samples too large", "an answer at every position"])
def test_no_gallery_where_samples_cannot_be_shown(tmp_path, reason):
    torch.manual_seed(0)
    model, data, size = network(), (X, Y), 16
    if reason == "none asked for":
        size = 0
    elif reason == "samples too large":
        model = nn.Sequential(nn.AdaptiveAvgPool1d(8), nn.Linear(8, 3))
        data = (torch.randn(4, 70_000), torch.arange(4) % 3)
    else:
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
        data = X
    with phiscope.Observer(model, data, run=tmp_path / "r", gallery=size) as observer:
        observer.record(epoch=0)
    run = phiscope.open_run(tmp_path / "r")
    assert run.gallery("probe") is None
    assert dict(run.records[0].extras("probe")) == {}


def test_a_mapping_of_inputs_has_a_gallery(tmp_path):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.fc = nn.EmbeddingBag(9, 5), nn.Linear(5, 2)

        def forward(self, input_ids, attention_mask=None):
            return {"logits": self.fc(torch.tanh(self.embed(input_ids)))}

    ids = torch.randint(9, (40, 6), generator=torch.Generator().manual_seed(0))
    data = [{"attention_mask": torch.ones_like(ids), "input_ids": ids, "labels": torch.arange(40) % 2}]
    with phiscope.Observer(Words(), data, run=tmp_path / "r", gallery=12) as observer:
        observer.record(epoch=0)
    np.testing.assert_array_equal(phiscope.open_run(tmp_path / "r").gallery("probe").inputs, ids[:12].numpy())
