import pytest
import torch
from torch import nn

from phiscope.errors import InputError
from phiscope.studies.networks import ConvNetSettings, FullyConnectedSettings, TransformerSettings


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_the_convolutional_network():
    network = ConvNetSettings().build((1, 8, 8), 10)
    # each convolution: 9 in out weights + out biases, then a scale and a shift of batch norm per channel
    convolutions = [(9 * a * b + b) + 2 * b for a, b in ((1, 32), (32, 64), (64, 64))]
    assert count(network) == sum(convolutions) + (64 * 10 + 10) == 56_714
    assert network.features(torch.zeros(3, 1, 8, 8)).shape == (3, 64)


def test_parameters_of_the_fully_connected_network():
    network = FullyConnectedSettings().build((1, 8, 8), 10)
    assert count(network) == (64 * 256 + 256) + 2 * (256 * 256 + 256) + (256 * 10 + 10) == 150_794
    assert network.features(torch.zeros(3, 1, 8, 8)).shape == (3, 256)


def test_parameters_of_the_transformer():
    network = TransformerSettings().build((3,), 97)
    d = 128
    norm = 2 * d
    block = norm + (3 * d * d + 3 * d) + (d * d + d) + norm + (4 * d * d + 4 * d) + (4 * d * d + d)
    assert count(network) == 98 * d + 3 * d + 2 * block + norm + 97 * d == 422_144
    assert network.features(torch.zeros(5, 3, dtype=torch.long)).shape == (5, d)


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        (ConvNetSettings(stages=((3, 4), (5,))), (2, 6, 6)),
        (FullyConnectedSettings(widths=(7,)), (9,)),
        (TransformerSettings(vocabulary=5, width=8, heads=2, layers=1), (4,)),
    ],
)
def test_a_network_is_its_head_after_its_features(settings, shape):
    network = settings.build(shape, 3).eval()
    tokens = isinstance(settings, TransformerSettings)
    inputs = torch.randint(5, (6, *shape)) if tokens else torch.randn(6, *shape)
    phi = network.features(inputs)
    bias = 0 if network.head.bias is None else network.head.bias
    torch.testing.assert_close(network(inputs), phi @ network.head.weight.T + bias)
    assert phi.ndim == 2


def test_initial_weights_come_from_the_global_generator():
    def weights(seed):
        torch.manual_seed(seed)
        return ConvNetSettings(stages=((4,),)).build((1, 4, 4), 2).features[0].weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_he_initialization_has_the_stated_spread():
    torch.manual_seed(0)
    layer = ConvNetSettings(stages=((64, 256),)).build((1, 8, 8), 2).features[3]
    # variance 2 / fan_in; 147,456 draws, so the standard deviation is known to 0.2 %
    assert float(layer.weight.detach().std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.01)


def train_once(network):
    network.train()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=0.1)
    for _ in range(3):
        loss = nn.functional.cross_entropy(network(torch.randn(16, 1, 8, 8)), torch.randint(4, (16,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("freeze", [True, False])
def test_a_frozen_feature_map_does_not_move_batch_norm_included(freeze):
    torch.manual_seed(0)
    network = ConvNetSettings(stages=((4,), (8,))).build((1, 8, 8), 4)
    if freeze:
        network.freeze_features()
    inputs = torch.randn(20, 1, 8, 8)
    before = {name: tensor.clone() for name, tensor in network.features.state_dict().items()}
    phi = network.eval().features(inputs)
    head = network.head.weight.clone()
    train_once(network)
    moved = [name for name, tensor in network.features.state_dict().items() if not torch.equal(tensor, before[name])]
    assert not torch.equal(network.head.weight, head)
    if freeze:
        assert moved == []
        assert torch.equal(network.train().features(inputs), phi)
    else:
        # the control: without freezing, every weight and every running statistic moves
        assert {"0.weight", "1.running_mean", "1.running_var"} <= set(moved)


def test_the_transformer_is_causal():
    network = TransformerSettings(vocabulary=9, width=8, heads=2).build((4,), 3).eval()
    blocks = network.features.blocks
    stream = torch.randn(2, 4, 8)
    changed = stream.clone()
    changed[:, 3] += 1
    difference = (blocks(stream) - blocks(changed)).abs().amax(dim=(0, 2))
    assert torch.equal(difference[:3], torch.zeros(3))
    assert difference[3] > 0


def test_the_transformer_tells_positions_apart():
    torch.manual_seed(0)
    network = TransformerSettings(vocabulary=9, width=8, heads=2).build((3,), 3).eval()
    outputs = network(torch.tensor([[1, 2, 8], [2, 1, 8]]))
    assert not torch.allclose(outputs[0], outputs[1])


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        (ConvNetSettings(), (64,)),
        (ConvNetSettings(), (1, 3, 3)),
        (ConvNetSettings(stages=()), (1, 8, 8)),
        (FullyConnectedSettings(widths=(0,)), (4,)),
        (TransformerSettings(width=10, heads=4), (3,)),
        (TransformerSettings(), (3, 2)),
    ],
)
def test_what_cannot_be_built_is_refused(settings, shape):
    with pytest.raises(InputError, match=r"got"):
        settings.build(shape, 2)
