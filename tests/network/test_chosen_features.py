"""Features of the caller's choice: layers and outputs of networks without a head, against arrays taken by hand."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import HeadError, InputError, NoHeadError, PhiscopeError, ShapeError, UnknownNameError
from untouched import untouched

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(120, 5, generator=G), torch.randint(3, (120,), generator=G)
TOKENS = torch.randint(1, 11, (40, 7), generator=G)
MASK = (torch.arange(7)[None] < torch.randint(2, 8, (40, 1), generator=G)).long()


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.LayerNorm(6), nn.Dropout())


class Text(nn.Module):
    """Gives a vector for each token, and one for the whole."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.body = nn.Embedding(11, 4), nn.Sequential(nn.Linear(4, 4), nn.Tanh())

    def forward(self, input_ids, attention_mask=None):
        states = self.body(self.embedding(input_ids))
        return {"states": states, "pooled": states[:, 0]}


def same(measured, by_hand):
    expected = by_hand.to_dict()
    told = measured.to_dict()
    assert expected.keys() <= told.keys()
    for name, value in expected.items():
        assert told[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_an_encoder_is_measured_without_a_head(encoder):
    with untouched(encoder):
        measured = phiscope.measure(encoder, (X, Y), features="output")
    features = encoder.eval()(X).detach()
    same(measured, phiscope.diagonalize(features, targets=Y))
    # What needs outputs is absent with the reason, and the word is withheld.
    assert "outputs" in measured.absent["dynamical_low_rank"]
    assert measured.regime is None
    assert measured.provenance["features"].startswith("output (Sequential)")


@pytest.mark.parametrize("which", ["name", "module"])
def test_a_layer_against_the_models_output(encoder, which):
    layer = "1" if which == "name" else encoder[1]
    measured = phiscope.measure(encoder, (X, Y), features=layer, outputs="output")
    encoder.eval()
    same(measured, phiscope.diagonalize(encoder[:2](X).detach(), encoder(X).detach(), targets=Y))


def test_a_given_matrix_is_the_head(encoder):
    weight, bias = torch.randn(3, 6, generator=G), torch.randn(3, generator=G)
    by_hand = phiscope.diagonalize(encoder.eval()(X).detach(), head=(weight, bias), targets=Y)
    same(phiscope.measure(encoder, (X, Y), features="output", head=(weight, bias)), by_hand)
    # A head alone reads what the model returns.
    same(phiscope.measure(encoder, (X, Y), head=(weight.numpy(), bias.numpy())), by_hand)


def test_tied_weights_are_a_head_and_move_with_the_training(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.embedding, self.body = nn.Embedding(11, 4), nn.Sequential(nn.Linear(4, 4), nn.Tanh())

        def forward(self, tokens):
            return nn.functional.linear(self.body(self.embedding(tokens).mean(1)), self.embedding.weight)

    net, labels = Tied(), TOKENS[:, 0]
    with pytest.raises(NoHeadError, match="features="):
        phiscope.measure(net, (TOKENS, labels))
    with phiscope.Observer(net, (TOKENS, labels), run=tmp_path / "r", features="body", head="embedding") as observer:
        first = observer.record(epoch=0)
        before = net.embedding.weight.detach().clone()
        with torch.no_grad():
            net.embedding.weight *= 1.5
            net.embedding.weight[3] += 0.2
        second = observer.record(epoch=1)
    change = float((net.embedding.weight.detach() - before).norm() / before.norm())
    assert second.evidence.head_change == pytest.approx(change, rel=1e-5)
    assert first.n_outputs == 11
    assert 0 < second["initial_kernel_similarity"] < 1


def test_initial_features_of_a_chosen_layer(encoder, tmp_path):
    start = encoder[:2](X).detach().double().numpy()
    with phiscope.Observer(encoder, (X, Y), run=tmp_path / "r", features="1") as observer:
        observer.record(epoch=0)
        with torch.no_grad():
            encoder[0].weight += torch.randn(6, 5, generator=G)
        measured = observer.record(epoch=1)
    now = encoder[:2](X).detach().double().numpy()
    a, b = start - start.mean(0), now - now.mean(0)
    expected = np.sum((a.T @ b) ** 2) / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert measured["initial_kernel_similarity"] == pytest.approx(expected, rel=1e-5)
    run = phiscope.open_run(tmp_path / "r")
    assert run.header["features"].startswith("1 (ReLU)")
    phiscope.report(run, tmp_path / "page.html")


def test_a_passive_observer_of_a_chosen_layer(encoder, tmp_path):
    encoder.eval()
    with phiscope.PassiveObserver(encoder, (X, Y), run=tmp_path / "r", features="2", outputs="output") as observer:
        with observer.batch((X, Y)):
            encoder(X)
        measured = observer.record(epoch=0)
    same(measured, phiscope.diagonalize(encoder[:3](X).detach(), encoder(X).detach(), targets=Y))


def test_layers_of_a_network_without_a_head(encoder):
    encoder.eval()
    layers = phiscope.measure_layers(encoder, (X, Y), ["0", "1"], features="output")
    assert list(layers) == ["0", "1"]
    same(layers["1"], phiscope.diagonalize(encoder[:2](X).detach(), targets=Y))
    deeper = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 5), encoder).eval()
    whole = phiscope.measure_layers(deeper, (X, Y), features="output", outputs="output")
    assert list(whole) == ["1", "2", "output"]
    same(whole["output"], phiscope.diagonalize(deeper(X).detach(), deeper(X).detach(), targets=Y))


def test_tokens_are_pooled_or_samples_and_padding_is_neither():
    net, kept = Text(), MASK.bool()
    states = net(TOKENS)["states"].detach()
    batch = {"input_ids": TOKENS, "attention_mask": MASK}
    pooled = (states * MASK[..., None]).sum(1) / MASK.sum(1, keepdim=True)
    same(phiscope.measure(net, [batch], features="body"), phiscope.diagonalize(pooled))
    same(phiscope.measure(net, [batch], features="output.pooled"), phiscope.diagonalize(states[:, 0]))
    each = phiscope.measure(net, [batch], features="body", tokens="positions")
    assert each.n_samples == int(MASK.sum())
    assert each["effective_dimension"] == pytest.approx(
        phiscope.diagonalize(states[kept])["effective_dimension"], rel=1e-6
    )
    assert phiscope.measure(net, [batch], features="body", tokens="positions", padding=True).n_samples == 280
    # One target for a text counts for each of its tokens; a target for each token makes them samples by itself.
    label = torch.arange(40) % 3
    told = phiscope.measure(net, [batch | {"labels": label}], features="body", tokens="positions")
    by_hand = phiscope.diagonalize(states[kept], targets=label[:, None].expand(40, 7)[kept])
    assert told["nc1"] == pytest.approx(by_hand["nc1"], rel=1e-6)
    told = phiscope.measure(net, [batch | {"labels": TOKENS % 3}], features="body")
    assert told["nc1"] == pytest.approx(phiscope.diagonalize(states[kept], targets=(TOKENS % 3)[kept])["nc1"], rel=1e-6)


def test_restriction_of_chosen_features(encoder):
    head = (torch.randn(3, 6, generator=G), None)
    measured = phiscope.measure(encoder, (X, Y), features="2", head=head)
    told = phiscope.restrict(measured, (X, Y), encoder, features="2", layer=head)
    by_hand = phiscope.restrict(measured, (encoder.eval()[:3](X).detach(), Y), head)
    assert np.allclose(told.loss, by_hand.loss, rtol=1e-6)
    with pytest.raises(InputError, match="no head"):
        phiscope.restrict(measured, (X, Y), encoder, features="2")


@pytest.mark.parametrize(
    ("choice", "error", "message"),
    [
        ({"features": "nope"}, UnknownNameError, "no layer named 'nope'"),
        ({"features": 3}, InputError, "features is an int; expected a layer"),
        ({"features": nn.ReLU()}, InputError, "not a layer of this model"),
        ({"features": "output.x"}, InputError, "holds 'output'"),
        ({"features": "1", "head": "0"}, ShapeError, r"p = 6 features"),
        ({"features": "1", "head": "1"}, HeadError, "not a linear layer"),
        ({"features": "1", "head": (torch.zeros(3, 5), None)}, ShapeError, r"shape \(3, 5\), expected \(C, p\)"),
        ({"features": "1", "head": (torch.zeros(3, 6), torch.zeros(2))}, ShapeError, r"b of shape \(2,\)"),
        ({"features": "1", "head": (torch.zeros(3, 6),)}, ShapeError, "1 parts"),
        ({"features": "1", "head": torch.zeros(3, 6)}, HeadError, r"Tensor.*a matrix alone goes in as \(W, None\)"),
        ({"features": "1", "head": np.zeros((3, 6))}, HeadError, r"ndarray.*a matrix alone goes in as \(W, None\)"),
        ({"features": "1", "head": {"weight": 1}}, HeadError, "dict with the keys 'weight'; expected a layer"),
        ({"features": "1", "head": 3}, HeadError, "head is an int; expected a layer"),
        ({"features": "1", "head": ("W", "b")}, HeadError, r"tuple of 2 str; expected \(W, b\)"),
        ({"head": ("W", "b")}, HeadError, r"tuple of 2 str; expected \(W, b\)"),
        (
            {"features": "1", "head": nn.Linear(6, 3)},
            HeadError,
            "the Linear given as head is not a layer of this model",
        ),
        ({"features": "1", "head": "fc"}, UnknownNameError, "no layer named 'fc'"),
        ({"features": "1", "head": "0", "outputs": "2"}, InputError, "both head and outputs"),
        ({"outputs": "output"}, InputError, "without features"),
        ({"features": "1", "tokens": "all"}, InputError, "tokens is 'all'"),
    ],
)
def test_a_choice_that_cannot_be_is_one_sentence(encoder, choice, error, message):
    with untouched(encoder), pytest.raises(error, match=message) as caught:
        phiscope.measure(encoder, (X, Y), **choice)
    assert isinstance(caught.value, PhiscopeError)
    assert "\n" not in str(caught.value)


def test_a_head_beside_features_is_named_as_the_wrapper_names_it():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    expected = phiscope.measure(net, (X, Y), features="1", head="2")
    for wrapped, prefix in ((nn.DataParallel(net), "module."), (torch.compile(net, backend="eager"), "_orig_mod.")):
        same(phiscope.measure(wrapped, (X, Y), features=f"{prefix}1", head=f"{prefix}2"), expected)
