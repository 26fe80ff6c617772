"""Networks trained with distorted maps: where modules stand, what they hit, and that both arms hit as much."""

import pytest
import torch
from torch import nn

from phiscope.errors import InputError, UnknownNameError
from phiscope.studies.architectures import build_network
from phiscope.studies.distorted import distort
from phiscope.studies.networks import StudyNetwork


def network(**more):
    settings = {"input_shape": (1, 16, 16), "num_outputs": 3, "width": 0.25, "depth": 3} | more
    return build_network("cnn", **settings)


def trained(kind, steps=60, strength=5.0):
    net = network()
    distortions = distort(net, kind, probability=0.2, block=0.4, strength=strength, seed=1)
    x = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    net.train()
    for step in range(steps):
        distortions.begin_step(step / steps)
        out = net(x)
        distortions.end_step()
    return net, distortions, out


@pytest.mark.parametrize("kind", ["dropblock", "distortion"])
def test_the_share_rises_and_both_arms_hit_what_was_asked_for(kind):
    _, distortions, _ = trained(kind, steps=200)
    assert distortions.realized == pytest.approx(0.1, rel=0.05)
    assert float(distortions.modules[0].hit_share) == pytest.approx(0.2, abs=0.08)
    assert [module.block for module in distortions.modules] == [3, 2]
    assert [module.strength for module in distortions.modules] == [0.0 if kind == "dropblock" else 5.0] * 2


def test_evaluation_is_the_network_without_them():
    plain, x = network().eval(), torch.randn(5, 1, 16, 16)
    fresh = network()
    distort(fresh, "distortion", probability=0.5, block=0.4, strength=5.0)
    assert torch.equal(fresh.eval()(x), plain(x))


def test_each_module_reads_the_layer_behind_it():
    net = network()
    modules = distort(net, "distortion", probability=0.2, block=0.4, strength=5.0).modules
    convolutions = [part for part in net.features.modules() if isinstance(part, nn.Conv2d)]
    assert [module._consumer.layer for module in modules] == [convolutions[2], net.head]


def test_the_same_seed_gives_the_same_training():
    assert torch.equal(trained("distortion")[2], trained("distortion")[2])


def test_wrong_use_is_one_sentence():
    with pytest.raises(UnknownNameError, match="did you mean dropblock"):
        distort(network(), "dropblok", probability=0.1, block=0.4, strength=1)
    with pytest.raises(InputError, match="expected a share of the map's side"):
        distort(network(), "dropblock", probability=0.1, block=3, strength=1)
    with pytest.raises(InputError, match="and this has fewer"):
        distort(
            build_network("fcn", input_shape=(4,), num_outputs=2), "dropblock", probability=0.1, block=1, strength=1
        )
    bare = StudyNetwork(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3), nn.Flatten()), nn.Linear(8, 2))
    with pytest.raises(InputError, match="have none behind them"):
        distort(bare, "dropblock", probability=0.1, block=0.4, strength=1)
