import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import phiscope
from phiscope.errors import InputError, UnknownNameError
from phiscope.studies.architectures import build_network
from untouched import fingerprint

PICTURE, TOKENS = (3, 32, 32), (3, 98)
NAMES = ["fcn", "taper", "cnn", "vgg16", "resnet18", "transformer"]


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def small(name, **more):
    shape = (4, 11) if name == "transformer" else (2, 8, 8)
    return build_network(name, **{"input_shape": shape, "num_outputs": 5, "width": 0.125, **more})


def inputs_for(name, n=40):
    generator = torch.Generator().manual_seed(0)
    if name == "transformer":
        return torch.randint(11, (n, 4), generator=generator)
    return torch.randn(n, 2, 8, 8, generator=generator)


@pytest.mark.parametrize(
    ("name", "num_outputs", "batch_norm", "published"),
    [
        ("vgg16", 10, None, 14_728_266),
        ("vgg16", 10, False, 14_719_818),
        ("resnet18", 10, None, 11_173_962),
        ("resnet18", 100, None, 11_220_132),
    ],
)
def test_published_numbers_of_parameters(name, num_outputs, batch_norm, published):
    network = build_network(name, input_shape=PICTURE, num_outputs=num_outputs, batch_norm=batch_norm)
    assert count(network) == published
    assert network.head.weight.shape == (num_outputs, 512)


@pytest.mark.parametrize(
    ("depth", "weight_layers"),
    [(11, [1, 1, 2, 2, 2]), (13, [2, 2, 2, 2, 2]), (16, [2, 2, 3, 3, 3]), (19, [2, 2, 4, 4, 4])],
)
def test_vgg_from_its_table(depth, weight_layers):
    """Simonyan and Zisserman 2015, table 1: columns A, B, D and E; their three dense layers count into the name."""
    total, channels = 0, 3
    for width, number in zip((64, 128, 256, 512, 512), weight_layers, strict=True):
        for _ in range(number):
            total += 9 * channels * width + width + 2 * width
            channels = width
    assert count(build_network("vgg16", input_shape=PICTURE, num_outputs=10, depth=depth)) == total + 5130
    assert sum(weight_layers) + 3 == depth


@pytest.mark.parametrize(("depth", "blocks"), [(10, (1, 1, 1, 1)), (18, (2, 2, 2, 2)), (34, (3, 4, 6, 3))])
def test_resnet_from_its_table(depth, blocks):
    """He et al. 2016, table 1, with the CIFAR form's first convolution."""
    total, channels = 9 * 3 * 64 + 2 * 64, 64
    for width, number in zip((64, 128, 256, 512), blocks, strict=True):
        for _ in range(number):
            total += 9 * channels * width + 9 * width * width + 4 * width
            total += channels * width + 2 * width if channels != width else 0
            channels = width
    assert count(build_network("resnet18", input_shape=PICTURE, num_outputs=10, depth=depth)) == total + 5130
    assert 2 * sum(blocks) + 2 == depth


def test_parameters_of_the_fully_connected_network():
    linear = (3072 * 512 + 512) + 2 * (512 * 512 + 512) + (512 * 10 + 10)
    assert count(build_network("fcn", input_shape=PICTURE, num_outputs=10)) == linear == 2_103_818
    normed = build_network("fcn", input_shape=PICTURE, num_outputs=10, batch_norm=True)
    assert count(normed) == linear + 3 * 2 * 512
    deep = build_network("fcn", input_shape=(20,), num_outputs=1, depth=5, width=0.25)
    assert count(deep) == (20 * 128 + 128) + 4 * (128 * 128 + 128) + 129


def test_parameters_of_the_small_convolutional_network():
    convolutions = [(9 * a * b + b) for a, b in ((3, 32), (32, 64), (64, 128), (128, 128))]
    plain = build_network("cnn", input_shape=PICTURE, num_outputs=10, batch_norm=False)
    assert count(plain) == sum(convolutions) + 1290
    assert count(build_network("cnn", input_shape=PICTURE, num_outputs=10)) == sum(convolutions) + 2 * 352 + 1290
    one = build_network("cnn", input_shape=(1, 3, 3), num_outputs=2, depth=1, batch_norm=False)
    assert count(one) == (9 * 32 + 32) + (32 * 2 + 2)


def test_parameters_of_the_transformer():
    """Power et al. 2022: two decoder layers of width 128, about 4e5 parameters without the embeddings."""
    d = 128
    norm, matrices, biases = 2 * d, 12 * d * d, 3 * d + d + 4 * d + d
    published = build_network("transformer", input_shape=TOKENS, num_outputs=97)
    embeddings = (98 + 3 + 97) * d
    assert count(published) == embeddings + 2 * (matrices + biases + 2 * norm) + norm == 422_144
    assert count(published) - embeddings == 396_800
    plain = build_network("transformer", input_shape=TOKENS, num_outputs=97, batch_norm=False)
    assert count(plain) == embeddings + 2 * (matrices + biases)
    assert not any(isinstance(module, nn.LayerNorm) for module in plain.modules())


@pytest.mark.parametrize("batch_norm", [None, False])
@pytest.mark.parametrize("name", NAMES)
def test_phiscope_finds_the_features_and_the_head(name, batch_norm):
    network, inputs = small(name, batch_norm=batch_norm), inputs_for(name)
    targets = torch.arange(40) % 5
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    assert linear[-1] is network.head
    fmap, head = phiscope.split(network, inputs)
    torch.testing.assert_close(head.weight, network.head.weight)
    torch.testing.assert_close(fmap(inputs), network.eval().features(inputs))
    measured = phiscope.measure(network, (inputs, targets))
    assert (measured.n_features, measured.n_outputs) == (network.head.in_features, 5)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_the_weights_and_nothing_else_moves(name):
    before = fingerprint(nn.Module())
    first, again, other = (small(name, seed=seed).state_dict() for seed in (3, 3, 4))
    assert fingerprint(nn.Module()) == before
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


@pytest.mark.parametrize("name", NAMES)
def test_the_initial_scale_multiplies_weights_and_neither_norms_nor_biases(name):
    plain, scaled = small(name), small(name, init_scale=3.0)
    kinds = {key: type(plain.get_submodule(key.rpartition(".")[0])) for key, _ in plain.named_parameters()}
    pairs = zip(plain.named_parameters(), scaled.named_parameters(), strict=True)
    seen = set()
    for (key, before), (_, after) in pairs:
        factor = 1 if key.endswith("bias") or issubclass(kinds[key], nn.BatchNorm2d | nn.LayerNorm) else 3
        torch.testing.assert_close(after, factor * before)
        seen.add(factor)
    assert seen == {1, 3}


def test_he_weights_have_the_stated_spread_and_torchs_own_is_0_41_of_it():
    network = build_network("fcn", input_shape=(400,), num_outputs=2)
    # 512 x 512 draws: the standard deviation is known to 0.14 %
    spread = float(network.features[3].weight.detach().std())
    assert spread == pytest.approx((2 / 512) ** 0.5, rel=0.01)
    torchs = float(nn.Linear(512, 512).weight.detach().std())
    assert torchs / spread == pytest.approx(0.41, abs=0.01)
    assert not network.features[3].bias.any()


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(["cnn", "vgg16", "resnet18"]),
    channels=st.integers(1, 4),
    height=st.integers(8, 40),
    width=st.integers(8, 40),
)
def test_pictures_of_any_size_give_the_features_the_head_takes(name, channels, height, width):
    network = build_network(name, input_shape=(channels, height, width), num_outputs=3, width=0.05).eval()
    assert network(torch.randn(2, channels, height, width)).shape == (2, 3)


@pytest.mark.parametrize("name", NAMES)
def test_width_scales_the_features(name):
    published = build_network(name, input_shape=TOKENS if name == "transformer" else PICTURE, num_outputs=2)
    half = build_network(name, input_shape=TOKENS if name == "transformer" else PICTURE, num_outputs=2, width=0.5)
    assert half.head.in_features * 2 == published.head.in_features


def test_vgg_at_32_pixels_pools_as_published():
    """Rounding up must not change a picture whose side is a power of two."""
    network = build_network("vgg16", input_shape=PICTURE, num_outputs=2, width=0.05).eval()
    pictures = torch.randn(3, *PICTURE)
    expected = pictures
    for layer in network.features:
        pool = isinstance(layer, nn.MaxPool2d)
        expected = nn.functional.max_pool2d(expected, 2) if pool else layer(expected)
    assert torch.equal(network.features(pictures), expected)


def test_built_on_the_cpu_whatever_the_default_device():
    torch.set_default_device("meta")
    try:
        network = small("cnn")
    finally:
        torch.set_default_device(None)
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}


@pytest.mark.parametrize("name", NAMES)
def test_it_learns(name):
    """One batch is fitted: gradients reach every parameter of the feature map."""
    network, inputs = small(name, width=0.25), inputs_for(name, 20)
    targets = torch.arange(20) % 5
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(60):
        loss = nn.functional.cross_entropy(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5 < float(torch.tensor(5.0).log())
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("cnn", {"input_shape": (8, 8)}, r"cnn takes pictures .* got input_shape=\(8, 8\)"),
        ("cnn", {"input_shape": (1, 3, 3)}, "8 pixels a side or more"),
        ("vgg16", {"input_shape": (1, 1, 1)}, "2 pixels a side or more"),
        ("vgg16", {"depth": 12}, "vgg16 comes in the depths 11, 13, 16, 19, got depth=12"),
        ("resnet18", {"depth": 50}, "resnet18 comes in the depths 10, 18, 34, got depth=50"),
        ("transformer", {"input_shape": (5,)}, r"\(sequence length, vocabulary\), got \(5,\)"),
        ("transformer", {"batch_norm": True}, "layer norms"),
        ("fcn", {"input_shape": ()}, "one positive whole number for each axis"),
        ("fcn", {"input_shape": (3, 0)}, r"got \(3, 0\)"),
        ("fcn", {"num_outputs": 0}, "num_outputs=0"),
        ("fcn", {"width": 0.0}, "width=0.0"),
        ("fcn", {"width": float("nan")}, "width=nan"),
        ("fcn", {"init_scale": -1.0}, "init_scale=-1.0"),
        ("fcn", {"depth": 0}, "depth=0"),
        ("fcn", {"seed": -1}, "got -1"),
        ("fcn", {"seed": 0.5}, "got 0.5"),
        ("fcn", {"depth": 2.5}, "depth=2.5"),
        ("fcn", {"width": "wide"}, "width='wide'"),
        ("fcn", {"num_outputs": 10.0}, "num_outputs=10.0"),
    ],
)
def test_wrong_settings_are_one_sentence(name, more, message):
    with pytest.raises(InputError, match=message):
        small(name, **more)


def test_an_unknown_network_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean resnet18"):
        build_network("resnet", input_shape=PICTURE, num_outputs=10)
