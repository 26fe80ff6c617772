"""Distortion: identity where it has to be, the share that was asked for, DropBlock at strength 0, and no trace."""

import copy
import gc
import io
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import InputError, UnknownNameError
from phiscope.surgery import FeatureDistortion
from phiscope.surgery.distortion import _toward_channels, seed_rate

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
    # It once went on with a constant in place of the weights.
    with pytest.raises(InputError, match=r"the consumer, a Linear, is gone.*set_consumer\(layer\)"):
        distort(x)
    assert distort.eval()(x) is x
    distort.train().set_consumer(other := nn.Linear(6, 2))
    assert torch.isfinite(distort(x)).all()
    assert distort._consumer.layer is other
    distort.set_consumer(None)
    assert torch.isfinite(distort(x)).all()


def network(consumer=None):
    torch.manual_seed(0)
    consumer = consumer or nn.Conv2d(4, 5, 3)
    distort = FeatureDistortion(0.5, block=2, consumer=consumer, generator=seeded())
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU(), distort), consumer).train()


def saved(net):
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),  # noqa: S301  its own bytes
    "torch.save": saved,
    "twice": lambda net: copy.deepcopy(saved(net)),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copied_network_reads_its_own_consumer(how):
    """A copy read the original's layer, a pickle was a TypeError of weakref."""
    net = network()
    made, x = COPIES[how](net), torch.randn(2, 3, 8, 8)
    assert made[1][1]._consumer.layer is made[2] is not net[2]
    with torch.no_grad():
        made[2].weight.mul_(1000)
    for one in (net, made):
        one[1][1].generator.manual_seed(1)
    held = net[:2](x)
    assert (made[:2](x) - held).abs().max() > 50 * held.abs().max()
    del net
    gc.collect()
    assert torch.isfinite(made(x)).all()
    # The copy's module alone keeps nothing of the copy's network alive.
    alone = made[1][1]
    del made, one
    gc.collect()
    with pytest.raises(InputError, match="the consumer, a Conv2d, is gone"):
        alone(torch.randn(2, 4, 6, 6))


@pytest.mark.parametrize("how", COPIES)
def test_a_module_that_is_copied_alone_says_that_its_consumer_did_not_come_along(how):
    net = network()
    alone, x = COPIES[how](net[1][1]), torch.randn(2, 4, 6, 6)
    with pytest.raises(InputError, match="copied or loaded without it"):
        alone(x)
    alone.set_consumer(net[2])
    assert torch.isfinite(alone(x)).all()
    assert copy.copy(net[1][1])._consumer.layer is net[2]
    bare = COPIES[how](FeatureDistortion(0.5, block=2)).train()
    assert torch.isfinite(bare(x)).all()


def test_a_consumer_that_went_before_the_copy_is_gone_in_it():
    distort = FeatureDistortion(0.5, block=2, consumer=nn.Conv2d(4, 5, 3)).train()
    gc.collect()
    for how in COPIES.values():
        with pytest.raises(InputError, match="the consumer, a Conv2d, is gone"):
            how(distort)(torch.randn(2, 4, 6, 6))


def by_gradient(layer, given, channel):
    """Weights from one channel to every output, a row for each: what reads it is what its gradient is."""
    given = given.clone().requires_grad_(True)
    rows = []
    for place in range(layer(given).shape[1]):
        (made,) = torch.autograd.grad(layer(given)[:, place].flatten(1)[0, -1], given)
        rows.append(made[0, channel].flatten())
    return torch.stack(rows)


GROUPED = {
    "transposed": nn.ConvTranspose2d(4, 6, 1, bias=False),
    "square": nn.ConvTranspose2d(4, 4, 1, bias=False),
    "transposed, grouped": nn.ConvTranspose2d(4, 6, 1, groups=2, bias=False),
    "plain": nn.Conv2d(4, 6, 1, bias=False),
    "grouped": nn.Conv2d(4, 8, 1, groups=2, bias=False),
    "depthwise": nn.Conv2d(4, 4, 1, groups=4, bias=False),
    "one dimension": nn.Conv1d(4, 6, 1, groups=2, bias=False),
}


@pytest.mark.parametrize("name", GROUPED)
def test_channels_are_read_where_the_layer_reads_them(name):
    """Pointwise, so that an output's gradient at a channel is the weight between them, found without its layout."""
    layer = GROUPED[name]
    x = torch.randn(1, 4, *[1] * (2 if isinstance(layer, nn.ConvTranspose2d | nn.Conv2d) else 1))
    most = _toward_channels(layer, x.shape)
    assert most.shape == (4, 1)
    for channel in range(4):
        weights = by_gradient(layer, x, channel)[:, 0]
        # Outputs of other groups do not read this channel; only those that do count.
        reads = weights[weights != 0]
        assert float(most[channel]) == pytest.approx(float(reads.max()))


@pytest.mark.parametrize(
    ("layer", "positions"),
    [(nn.Conv2d(4, 8, 3, groups=2), 9), (nn.ConvTranspose2d(4, 6, (2, 3), groups=2), 6), (nn.Linear(4 * 36, 5), 36)],
)
def test_each_kernel_position_has_its_own_largest_weight(layer, positions):
    most = _toward_channels(layer, torch.Size((2, 4, 6, 6)))
    assert most.shape == (4, positions)
    weight = layer.weight.detach()
    if isinstance(layer, nn.Linear):
        assert most[1].tolist() == weight[:, 36:72].amax(0).tolist()
    elif isinstance(layer, nn.ConvTranspose2d):
        assert most[2].tolist() == weight[2].amax(0).flatten().tolist()
    else:
        # The third channel is the first of the second group, which the last four outputs read.
        assert most[2].tolist() == weight[4:, 0].amax(0).flatten().tolist()


def test_a_linear_layer_reads_the_map_flattened_pooled_or_in_channels():
    x = torch.randn(3, 4, 6, 6)
    for width, positions in ((4, 1), (16, 4), (36, 9), (144, 36)):
        assert _toward_channels(nn.Linear(width, 2), x.shape).shape == (4, positions)
        assert torch.isfinite(FeatureDistortion(0.5, block=2, consumer=nn.Linear(width, 2)).train()(x)).all()
    for consumer, shape in (
        (nn.Linear(6, 2), (3, 4, 6, 6)),
        (nn.Linear(288, 2), (3, 4, 6, 6)),
        (nn.Linear(8, 2), (3, 4, 8)),
        (nn.Linear(8, 2), (3, 4)),
        (nn.Conv2d(8, 8, 3, groups=2), (3, 4, 6, 6)),
        (nn.ConvTranspose2d(5, 4, 3), (3, 4, 6, 6)),
    ):
        distort = FeatureDistortion(0.5, block=2, consumer=consumer).train()
        with pytest.raises(InputError, match="channels and the map has 4; pass the layer that reads it"):
            distort(torch.randn(*shape))


def test_consumers_of_other_libraries_and_lazy_ones():
    class Conv1D(nn.Module):
        """As transformers has it: the weight is (p, C)."""

        def __init__(self):
            super().__init__()
            self.nf, self.weight = 3, nn.Parameter(torch.randn(5, 3))

    one = Conv1D()
    assert _toward_channels(one, torch.Size((2, 5)))[:, 0].tolist() == one.weight.detach().amax(1).tolist()
    with pytest.raises(InputError, match="consumer is an Embedding"):
        FeatureDistortion(consumer=nn.Embedding(5, 4))
    lazy = nn.LazyConv2d(5, 3)
    distort, x = FeatureDistortion(0.5, block=2, consumer=lazy).train(), torch.randn(2, 4, 6, 6)
    with pytest.raises(InputError, match="is lazy and has no weights yet"):
        distort(x)
    lazy(x)
    assert torch.isfinite(distort(x)).all()


def test_numbers_of_numpy_are_numbers():
    m = phiscope.diagonalize(np.random.default_rng(0).standard_normal((60, 4)))
    x = torch.randn(5, 4)
    for k in (np.array([1, 2]), [np.int64(1), 2], (1, 2), torch.tensor([1, 2])):
        made = FeatureDistortion(np.float32(1.0), mode="eigen", measurement=m, k=k, project=True).train()
        assert made.vectors.shape == (4, 2)
        assert torch.isfinite(made(x)).all()
    assert FeatureDistortion(np.float32(0.5), block=np.int64(2), strength=np.float64(1)).block == 2
    FeatureDistortion().set_progress(np.float32(0.5))
    for wrong in (3, [0], [5], [1.5], [True], []):
        with pytest.raises(InputError, match="expected numbers of eigenfeatures from 1 to 4"):
            FeatureDistortion(mode="eigen", measurement=m, k=wrong)
    with pytest.raises(InputError, match=r"k=\[2, 2\] names an eigenfeature twice"):
        FeatureDistortion(mode="eigen", measurement=m, k=[2, 2])


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


def test_a_consumer_with_a_spectral_norm_is_read_and_takes_no_step():
    """Its strength was read by making the weight anew, which moved the norm's vectors twice a step."""
    consumer = torch.nn.utils.parametrizations.spectral_norm(nn.Linear(8, 3)).train()
    kept = copy.deepcopy(consumer.state_dict())
    FeatureDistortion(0.5, mode="element", consumer=consumer).train()(torch.randn(5, 8))
    assert all(torch.equal(one, consumer.state_dict()[name]) for name, one in kept.items())
    assert consumer.training


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"generator": 3}, "generator is an int; expected a torch.Generator"),
        ({"k": [1]}, r"mode='block' takes no measurement=, k= or project="),
        ({"mode": "channel", "project": True}, r"mode='channel' takes no measurement="),
    ],
)
def test_settings_that_would_do_nothing_or_fail_in_a_training_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        FeatureDistortion(**settings)


def test_a_map_that_holds_no_numbers_to_distort_is_refused_and_a_single_number_stays_one():
    distort = FeatureDistortion(0.5, mode="element").train()
    for wrong, said in ((None, "a NoneType"), (torch.ones(2, 3, dtype=torch.int64), "of torch.int64")):
        with pytest.raises(InputError, match=f"the map is {said}; expected a tensor of floating-point numbers"):
            distort(wrong)
    assert torch.isfinite(distort(torch.ones(1, 1))).all()
