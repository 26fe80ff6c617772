"""From a layer's output to features: maps, tokens and padding, against activations collected by hand."""

import pytest
import torch
from torch import nn

import phiscope
from layered_networks import TOKENS, N, X, Y, by_hand, conv_net, same
from phiscope.errors import InputError
from untouched import untouched


def flat_positions(tensor):
    return tensor.flatten(2).movedim(1, -1).flatten(0, 1)


READINGS = {
    "pooled": lambda t: t.mean((2, 3)),
    "flattened": lambda t: t.flatten(1),
    "positions": flat_positions,
}


@pytest.mark.parametrize("maps", list(READINGS))
@pytest.mark.parametrize("name", ["relu1", "conv2"])
def test_maps_are_read_as_asked(maps, name):
    net = conv_net()
    measured = phiscope.measure_layers(net, (X, Y), [name], maps=maps)[name]
    told, outputs = by_hand(net, [name, "relu2"], X)
    features = READINGS[maps](told[name][0])
    times = len(features) // N
    twin = phiscope.diagonalize(
        features, outputs=outputs.repeat_interleave(times, 0), targets=Y.repeat_interleave(times), num_classes=3
    )
    assert measured.n_samples == N * times
    assert same(measured, twin)
    assert measured.centered.eigenvalues == pytest.approx(
        twin.centered.eigenvalues, rel=1e-4, abs=1e-6 * twin.centered.eigenvalues[0]
    )


def test_control_another_reading_gives_other_numbers():
    net = conv_net()
    one, other = (
        phiscope.measure_layers(net, (X, Y), ["conv2"], maps=maps)["conv2"] for maps in ("pooled", "positions")
    )
    assert not same(one, other)


def test_activations_in_place_do_not_change_what_was_read_before():
    net = conv_net()
    features = by_hand(net, ["norm"], X)[0]["norm"][0].mean((2, 3))
    measured = phiscope.measure_layers(net, (X, Y), "norm")["norm"]
    assert measured.feature_mean == pytest.approx(features.double().mean(0).numpy(), abs=1e-6)


class Tokens(nn.Module):
    """Two layers over tokens, the first token or each of them into the head; time first where asked."""

    def __init__(self, *, each=False, time_first=False):
        super().__init__()
        self.inner, self.act, self.head = nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)
        self.each, self.time_first = each, time_first

    def forward(self, x, attention_mask=None):
        hidden = self.act(self.inner(x.transpose(0, 1) if self.time_first else x))
        hidden = hidden.transpose(0, 1) if self.time_first else hidden
        return self.head(hidden if self.each else hidden[:, 0])


MASK = torch.arange(7)[None] < (torch.arange(N) % 6 + 2)[:, None]

TOKEN_READINGS = {
    "pooled": lambda t: t.mean(1),
    "first": lambda t: t[:, 0],
    "last": lambda t: t[:, -1],
    "positions": lambda t: t.flatten(0, 1),
}

MASKED_READINGS = {
    "pooled": lambda t: torch.stack([one[kept].mean(0) for one, kept in zip(t, MASK, strict=True)]),
    "first": lambda t: t[:, 0],
    "last": lambda t: torch.stack([one[kept][-1] for one, kept in zip(t, MASK, strict=True)]),
    "positions": lambda t: t[MASK],
}


@pytest.mark.parametrize("tokens", list(TOKEN_READINGS))
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("time_first", [False, True])
def test_tokens_are_read_as_asked(tokens, masked, time_first):
    torch.manual_seed(0)
    net = Tokens(time_first=time_first)
    data = {"x": TOKENS, "labels": Y} | ({"attention_mask": MASK.long()} if masked else {})
    measured = phiscope.measure_layers(net, data, ["act"], tokens=tokens)["act"]
    told, outputs = by_hand(net, ["act"], TOKENS)
    hidden = told["act"][0].transpose(0, 1) if time_first else told["act"][0]
    features = (MASKED_READINGS if masked else TOKEN_READINGS)[tokens](hidden)
    times = torch.ones(N, dtype=torch.long)
    if tokens == "positions":
        times = MASK.sum(1) if masked else torch.full((N,), 7)
    twin = phiscope.diagonalize(
        features, outputs=outputs.repeat_interleave(times, 0), targets=Y.repeat_interleave(times), num_classes=3
    )
    assert same(measured, twin)
    assert ("attention mask keeps" in measured.provenance["reading"]) == masked


def test_control_padding_would_change_the_mean():
    torch.manual_seed(0)
    data = {"x": TOKENS, "labels": Y}
    with_mask = phiscope.measure_layers(Tokens(), data | {"attention_mask": MASK.long()}, ["act"])["act"]
    assert not same(with_mask, phiscope.measure_layers(Tokens(), data, ["act"])["act"])


def test_padding_may_hold_nan():
    torch.manual_seed(0)
    net = Tokens()
    broken = torch.where(MASK[..., None], TOKENS, torch.nan)
    data = {"labels": Y, "attention_mask": MASK.long()}
    told = [phiscope.measure_layers(net, data | {"x": x}, ["act"])["act"] for x in (TOKENS, broken)]
    assert told[0].to_dict() == told[1].to_dict()


def test_a_sample_without_any_token_and_a_mask_of_another_length():
    net = Tokens()
    data = {"x": TOKENS, "labels": Y, "attention_mask": torch.zeros(N, 7).long()}
    with untouched(net), pytest.raises(InputError, match="keeps no token of sample 0"):
        phiscope.measure_layers(net, data, ["act"])
    short = {"x": TOKENS, "labels": Y, "attention_mask": MASK[:, :5].long()}
    assert any("padding was read" in text for text in phiscope.measure_layers(net, short, ["act"])["act"].warnings)


@pytest.mark.parametrize("time_first", [False, True])
def test_where_the_network_answers_at_each_position_each_is_a_sample(time_first):
    torch.manual_seed(0)
    # Six features of five inputs: in float64 what is left of the sixth direction lies clearly under the cut.
    net, tokens = Tokens(each=True, time_first=time_first).double(), TOKENS.double()
    labels = torch.arange(N * 7).reshape(N, 7) % 3
    measured = phiscope.measure_layers(net, (tokens, labels), ["inner", "head"])
    told, outputs = by_hand(net, ["inner"], tokens)
    hidden = told["inner"][0].transpose(0, 1) if time_first else told["inner"][0]
    twin = phiscope.diagonalize(
        hidden.flatten(0, 1), outputs=outputs.flatten(0, 1), targets=labels.flatten(), num_classes=3
    )
    assert same(measured["inner"], twin)
    assert same(measured["head"], phiscope.measure(net, (tokens, labels)))
    with pytest.raises(InputError, match=r"answers at .* positions"):
        phiscope.measure_layers(net, (tokens, labels), ["inner"], tokens="pooled")
