"""Distortion: identity where it has to be, the share that was asked for, DropBlock at strength 0, and no trace."""

import copy
import gc

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import InputError, UnknownNameError
from phiscope.surgery import FeatureDistortion
from phiscope.surgery.distortion import seed_rate

MODES = ("block", "element", "channel")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mode", MODES)
def test_evaluation_and_no_probability_are_the_same_tensor(mode):
    x = torch.randn(4, 3, 8, 8)
    assert FeatureDistortion(0.5, mode=mode).eval()(x) is x
    assert FeatureDistortion(0.0, mode=mode).train()(x) is x
    quiet = FeatureDistortion(0.5, mode=mode).train()
    quiet.set_progress(0)
    assert quiet(x) is x


@pytest.mark.parametrize("q", [0.02, 0.09, 0.3])
@pytest.mark.parametrize(("block", "size"), [(6, (8, 8)), (3, (10, 7)), (1, (5, 5)), (8, (8, 8))])
def test_the_realised_share_is_the_one_asked_for(q, block, size):
    distort = FeatureDistortion(q, block=block, strength=0.0, generator=seeded()).train()
    x = torch.ones(400, 60, *size)
    # A block as large as the map is one draw for all its places: 24,000 of them.
    assert float((distort(x) == 0).float().mean()) == pytest.approx(q, rel=0.02, abs=4 * (q / 24_000) ** 0.5)


@pytest.mark.parametrize("mode", ["element", "channel"])
def test_the_realised_share_of_other_modes(mode):
    distort = FeatureDistortion(0.2, mode=mode, strength=0.0, generator=seeded()).train()
    assert float((distort(torch.ones(400, 50, 4, 4)) == 0).float().mean()) == pytest.approx(0.2, rel=0.03)


def dropblock(x, q, block, generator):
    """DropBlock by its definition, with loops over seeds."""
    b, c, h, w = x.shape
    rate = seed_rate(q, (h, w), (block, block))
    seeds = torch.empty(b, c, h - block + 1, w - block + 1).uniform_(generator=generator) < rate
    keep = torch.ones_like(x)
    for i, j, row, column in seeds.nonzero().tolist():
        keep[i, j, row : row + block, column : column + block] = 0
    return x * keep / keep.mean()


@pytest.mark.parametrize("block", [2, 3, 4])
def test_at_strength_zero_it_is_dropblock_bit_for_bit(block):
    x = torch.randn(5, 4, 9, 9)
    made = FeatureDistortion(0.2, block=block, strength=0.0, generator=seeded(3)).train()(x)
    assert torch.equal(made, dropblock(x, 0.2, block, seeded(3)))


def test_the_rate_of_seeds_by_brute_force():
    for size, sides in (((8, 8), (6, 6)), ((5, 9), (2, 2)), ((7, 1), (3, 1))):
        rate = seed_rate(0.2, size, sides)
        covered = np.zeros(size)
        for row in range(size[0]):
            for column in range(size[1]):
                reach = sum(
                    top <= row < top + sides[0] and left <= column < left + sides[1]
                    for top in range(size[0] - sides[0] + 1)
                    for left in range(size[1] - sides[1] + 1)
                )
                covered[row, column] = 1 - (1 - rate) ** reach
        assert covered.mean() == pytest.approx(0.2, abs=1e-9)


def test_noise_has_the_energy_of_its_definition():
    consumer = nn.Conv2d(3, 5, 3)
    with torch.no_grad():
        consumer.weight.fill_(0.2)
    x = 2 * torch.randn(300, 3, 8, 8)
    distort = FeatureDistortion(1.0, block=8, strength=3.0, consumer=consumer, generator=seeded()).train()
    noise = distort(x)
    # Nothing is kept, so nothing is scaled; the mean of nine random signs has variance 1 / 9, drawn once a call.
    ratio = noise.std(dim=(0, 2, 3)) / (3.0 * 2 * 0.2)
    nearest = (ratio * 9).round()
    assert (ratio * 9 - nearest).abs().max() < 0.1
    assert set(nearest.tolist()) <= {1.0, 3.0, 5.0, 7.0, 9.0}


def test_the_consumer_is_held_weakly_and_not_registered():
    consumer = nn.Linear(6, 4)
    distort = FeatureDistortion(0.5, mode="element", consumer=consumer, generator=seeded()).train()
    assert list(distort.parameters()) == []
    assert list(distort.state_dict()) == ["progress"]
    x = torch.randn(50, 6)
    strong = distort(x).abs().max()
    with torch.no_grad():
        consumer.weight.mul_(1000)
    assert distort(x).abs().max() > 50 * strong
    del consumer
    gc.collect()
    assert torch.isfinite(distort(x)).all()


def test_mixed_precision_and_shapes():
    for shape in ((8, 5), (8, 5, 12), (8, 5, 6, 6)):
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            x = torch.randn(*shape, dtype=dtype)
            made = FeatureDistortion(0.3, block=3, generator=seeded()).train()(x)
            assert (made.shape, made.dtype) == (x.shape, x.dtype)
            assert torch.isfinite(made.float()).all()


@pytest.mark.parametrize("mode", MODES)
def test_the_share_of_the_last_map_is_told(mode):
    distort = FeatureDistortion(0.3, block=2, mode=mode, strength=0.0, generator=seeded()).train()
    assert float(distort.hit_share) == 0
    made = distort(torch.ones(20, 5, 6, 6))
    assert float(distort.hit_share) == pytest.approx(float((made == 0).float().mean()), abs=1e-6)
    distort.eval()(torch.ones(2, 5, 6, 6))
    assert float(distort.hit_share) == 0


def test_gradients_pass_what_was_kept_alone():
    x = torch.randn(20, 3, 6, 6, requires_grad=True)
    made = FeatureDistortion(0.3, block=2, strength=0.0, generator=seeded()).train()(x)
    made.sum().backward()
    kept = made != 0
    assert (x.grad[~kept] == 0).all()
    assert (x.grad[kept] > 1).all()


def test_eigenfeatures_are_projected_out_or_made_noisy():
    torch.manual_seed(0)
    x = (torch.randn(500, 6) * torch.linspace(3, 0.3, 6)).double()
    m = phiscope.diagonalize(x.numpy())
    out = FeatureDistortion(1.0, mode="eigen", measurement=m, k=[1, 2], project=True).train()(x)
    left = (out - torch.from_numpy(m.feature_mean.copy())) @ torch.from_numpy(m.centered.eigenvectors.copy())
    assert left[:, :2].abs().max() < 1e-5
    assert left[:, 2:].var(dim=0, correction=0).numpy() == pytest.approx(m.centered.eigenvalues[2:], rel=1e-5)
    noisy = FeatureDistortion(1.0, mode="eigen", measurement=m, k=[3], strength=2.0, generator=seeded()).train()(x)
    added = (noisy - x) @ torch.from_numpy(m.centered.eigenvectors.copy())
    assert added[:, 2].var().item() == pytest.approx(4 * m.centered.eigenvalues[2], rel=0.2)
    assert added[:, [0, 1, 3, 4, 5]].abs().max() < 1e-5


def test_a_distorting_module_cannot_leak_into_measurements():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Identity(), nn.Linear(10, 3))
    loud = copy.deepcopy(plain)
    loud[2] = FeatureDistortion(0.5, mode="element", strength=5.0)
    data = (torch.randn(100, 6), torch.arange(100) % 3)
    assert phiscope.measure(loud.train(), data).numbers == phiscope.measure(plain.train(), data).numbers


def test_wrong_use_is_one_sentence():
    consumer = nn.Conv2d(4, 2, 1)
    with pytest.raises(UnknownNameError, match="did you mean block"):
        FeatureDistortion(mode="blok")
    for wrong in ({"probability": 1.5}, {"probability": float("nan")}, {"block": 0}, {"strength": -1}):
        with pytest.raises(InputError, match="expected"):
            FeatureDistortion(**wrong)
    with pytest.raises(InputError, match="block=9 is larger than the map, 8 x 8"):
        FeatureDistortion(0.1, block=9).train()(torch.randn(2, 3, 8, 8))
    with pytest.raises(InputError, match="the consumer reads 4 channels and the map has 3"):
        FeatureDistortion(0.5, block=2, consumer=consumer).train()(torch.randn(2, 3, 8, 8))
    with pytest.raises(InputError, match="consumer is a ReLU"):
        FeatureDistortion(consumer=nn.ReLU())
    with pytest.raises(InputError, match="pass measurement="):
        FeatureDistortion(mode="eigen")
    with pytest.raises(InputError, match=r"expected \(B, Ch\)"):
        FeatureDistortion(0.5).train()(torch.randn(3))
    with pytest.raises(InputError, match="from 0 to 1"):
        FeatureDistortion().set_progress(2)
