"""Networks of Keras and PyTorch Geometric, which keep layers, weights and batches in ways of their own."""

import os

import pytest
import torch
from torch import nn

import phiscope
from phiscope.network.hooks import Ear, deafened

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(90, 5, generator=G), torch.randint(3, (90,), generator=G)


@pytest.fixture(scope="module")
def keras():
    # Keras reads its backend once, when it is imported.
    os.environ["KERAS_BACKEND"] = "torch"
    return pytest.importorskip("keras", reason="Keras is not installed")


def dense(keras, activation=None):
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(8, activation="tanh", name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, activation=activation, name="logits")(hidden))


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_keras_dense_is_a_head_also_with_its_own_softmax(keras, activation):
    net = dense(keras, activation)
    measured = phiscope.measure(net, (X, Y))
    hidden, logits = net.get_layer("hidden"), net.get_layer("logits")
    by_hand = phiscope.diagonalize(
        hidden(X).detach(), head=(logits.kernel.value.detach().T, logits.bias.value.detach()), targets=Y
    )
    assert measured["dynamical_low_rank"] == pytest.approx(by_hand["dynamical_low_rank"], rel=1e-9)
    assert measured.provenance["head"] == "logits (Dense)"
    layers = phiscope.measure_layers(net, (X, Y), ["hidden"])
    assert layers["hidden"]["nc1"] == pytest.approx(by_hand["nc1"], rel=1e-6)


def test_keras_initial_features_are_those_of_the_start(keras, tmp_path):
    # Keras' variables hold the parameters themselves, so parameters that stand in for them have to be lent to them.
    net = dense(keras)
    start = net.get_layer("hidden")(X).detach().double()
    before = net.get_layer("logits").kernel.value.detach().clone()
    with phiscope.Observer(net, (X, Y), run=tmp_path / "r") as observer:
        observer.record(epoch=0)
        with torch.no_grad():
            net.get_layer("hidden").kernel.value.mul_(-0.3).add_(0.5)
            net.get_layer("logits").kernel.value.mul_(2.0)
        now = net.get_layer("hidden")(X).detach().double()
        measured = observer.record(epoch=1)
    a, b = start - start.mean(0), now - now.mean(0)
    expected = (a.T @ b).square().sum() / ((a.T @ a).norm() * (b.T @ b).norm())
    assert measured["initial_kernel_similarity"] == pytest.approx(float(expected), rel=1e-5)
    assert measured.evidence.head_change == pytest.approx(1.0, rel=1e-5)
    assert torch.equal(net.get_layer("logits").kernel.value.detach(), 2 * before)


def test_a_hook_that_control_c_left_on_a_keras_layer_is_removed(keras):
    net = dense(keras)
    layer = net.get_layer("logits")
    Ear().after(layer, lambda *heard: None)
    assert len(layer._forward_hooks) == 1
    assert deafened(net) == 1
    assert len(layer._forward_hooks) == 0


def graphs(geometric):
    data = geometric.data
    return [
        data.Data(
            x=torch.randn(4 + k % 3, 5, generator=G),
            edge_index=torch.randint(4, (2, 8), generator=G),
            y=torch.tensor([k % 3]),
        )
        for k in range(60)
    ]


def graph_network(geometric, linear, whole):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.out = geometric.nn.GCNConv(5, 8), linear(8, 3)

        def answer(self, x, edge_index, batch):
            return self.out(geometric.nn.global_mean_pool(torch.relu(self.conv(x, edge_index)), batch))

    class Whole(Net):
        def forward(self, data):
            return self.answer(data.x, data.edge_index, data.batch)

    class Parts(Net):
        def forward(self, x, edge_index, batch):
            return self.answer(x, edge_index, batch)

    return (Whole if whole else Parts)().eval()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("whole", [True, False], ids=["the batch", "its parts"])
def test_graphs_are_samples_and_their_nodes_features(whole):
    geometric = pytest.importorskip("torch_geometric", reason="PyTorch Geometric is not installed")
    loader = geometric.loader.DataLoader(graphs(geometric), batch_size=25)
    net = graph_network(geometric, geometric.nn.Linear, whole)
    together = next(iter(geometric.loader.DataLoader(loader.dataset, batch_size=60)))
    nodes = net.conv(together.x, together.edge_index).detach()
    pooled = geometric.nn.global_mean_pool(nodes.relu(), together.batch)
    by_hand = phiscope.diagonalize(pooled, head=(net.out.weight.detach(), net.out.bias.detach()), targets=together.y)
    measured = phiscope.measure(net, loader)
    assert measured.n_samples == 60
    assert measured["dynamical_low_rank"] == pytest.approx(by_hand["dynamical_low_rank"], rel=1e-5)
    expected = phiscope.diagonalize(geometric.nn.global_mean_pool(nodes, together.batch), targets=together.y)["nc1"]
    assert phiscope.measure_layers(net, loader, ["conv"])["conv"]["nc1"] == pytest.approx(expected, rel=1e-5)
    assert phiscope.measure(net, loader, features="conv")["nc1"] == pytest.approx(expected, rel=1e-5)
    assert "mean over the nodes" in phiscope.measure(net, loader, features="conv").provenance["reading"]
