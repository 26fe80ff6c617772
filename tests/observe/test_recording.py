"""What both observers share: the header, the cost, records written in the background."""

import time

import pytest
import torch

import phiscope
from small_training import X, Y, network


@pytest.fixture
def net():
    torch.manual_seed(0)
    return network()


def test_the_header(net, tmp_path):
    told = {"title": "mine", "settings": {"lr": 0.1}, "class_names": ["a", "b", "c"]}
    phiscope.Observer(net, (X, Y), run=tmp_path / "r", header=told).close()
    header = phiscope.open_run(tmp_path / "r").header
    assert header["title"] == "mine"
    assert header["settings"] == {"lr": 0.1}
    assert header["class_names"] == ["a", "b", "c"]
    assert (header["task"], header["input_shape"], header["image"]) == ("classification", [1, 6, 6], True)
    assert header["initial_parameters"] == sum(p.numel() for p in net.parameters())
    assert header["head"].startswith("6 (Linear")


def test_cost_is_reported(net, tmp_path):
    observer = phiscope.Observer(net, (X, Y), run=tmp_path / "r")
    observer.record(epoch=0)
    busy = observer.cost.seconds
    time.sleep(0.2)  # the training's own time
    after = observer.cost
    assert after.seconds == busy > 0
    assert after.share < busy / (busy + 0.19)
    observer.close()
