"""measure_layers(): the numbers of features collected by hand, whatever a layer's form; no layer skipped in silence."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import phiscope
from phiscope.errors import EmptyDataError, InputError, NoHeadError, NonFiniteError, ShapeError, UnknownNameError
from phiscope.moments.shards import shards_for_all
from untouched import untouched

N = 96
X = torch.randn(N, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 3
TOKENS = torch.randn(N, 7, 5, generator=torch.Generator().manual_seed(1))


class ConvNet(nn.Module):
    """Convolutions with an activation in place, a pool, and a head."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm, self.relu1 = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.conv2, self.relu2 = nn.Conv2d(6, 4, 3, stride=2), nn.ReLU(inplace=True)
        self.drop, self.head = nn.Dropout(), nn.Linear(4, 3)

    def forward(self, x):
        x = self.relu1(self.norm(self.conv1(x)))
        x = self.relu2(self.conv2(x))
        return self.head(self.drop(x.mean((2, 3))))


def conv_net(seed=0):
    torch.manual_seed(seed)
    return ConvNet().train()


def by_hand(net, names, x):
    """The naive twin: every activation kept, copied at once."""
    told = {}

    def keep(name, module, args, output):
        told.setdefault(name, []).append(output.detach().clone())

    hooks = [net.get_submodule(name).register_forward_hook(partial(keep, name)) for name in names]
    mode = net.training
    with torch.no_grad():
        outputs = net.eval()(x)
    net.train(mode)
    for hook in hooks:
        hook.remove()
    return told, outputs


def same(a, b, rel=1e-4):
    # Corrected numbers depend on which samples share a shard, and a pass in batches has other shards than one array.
    # The excess loss belongs to the layer that the head reads.
    names = [name for name in {**a.to_dict(), **b.to_dict()} if "corrected" not in name and "held_out" not in name]
    names = [name for name in names if name != "head_excess_loss"]
    left, right = ({name: one.to_dict().get(name) for name in names} for one in (a, b))
    return left == pytest.approx(right, rel=rel, abs=1e-6)


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


def test_the_last_is_what_measure_measures():
    net = conv_net()
    layers = phiscope.measure_layers(net, (X, Y))
    whole = phiscope.measure(net, (X, Y))
    assert list(layers) == ["relu1", "head"]
    assert layers["head"].to_dict() == whole.to_dict()
    assert layers["head"].centered.utilization == pytest.approx(whole.centered.utilization, abs=1e-12)
    assert layers.left_out == {"relu2": "its features are the ones that head 'head' reads"}
    # Its spans taken from measured outputs instead of the head's weights: the same but for rounding.
    pooled = phiscope.measure_layers(net, (X, Y), ["relu2"])["relu2"]
    assert pooled["dynamical_low_rank"] == pytest.approx(whole["dynamical_low_rank"], abs=1e-6)
    assert pooled["used_variance"] == pytest.approx(whole["used_variance"], abs=1e-6)
    assert pooled.absent["nc3"]
    assert pooled.absent["head_excess_loss"] == "the network's head does not read this layer"
    assert "head_excess_loss" in layers["head"]


def test_control_a_network_with_another_head_differs():
    net, other = conv_net(), conv_net()
    with torch.no_grad():
        other.head.weight.copy_(torch.randn(3, 4, generator=torch.Generator().manual_seed(3)))
    one, two = (phiscope.measure_layers(part, (X, Y), ["relu1"])["relu1"] for part in (net, other))
    assert one["used_variance"] != pytest.approx(two["used_variance"], abs=1e-3)
    assert one["effective_dimension"] == two["effective_dimension"]


def test_activations_in_place_do_not_change_what_was_read_before():
    net = conv_net()
    features = by_hand(net, ["norm"], X)[0]["norm"][0].mean((2, 3))
    measured = phiscope.measure_layers(net, (X, Y), "norm")["norm"]
    assert measured.feature_mean == pytest.approx(features.double().mean(0).numpy(), abs=1e-6)


def test_more_outputs_than_features_keep_every_span():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 10), nn.Tanh(), nn.Linear(10, 4), nn.Tanh(), nn.Linear(4, 9))
    measured = phiscope.measure_layers(net, (X, Y % 9), ["2"])["2"]
    told, outputs = by_hand(net, ["2"], X)
    twin = phiscope.diagonalize(told["2"][0], outputs=outputs, targets=Y % 9, num_classes=9)
    assert measured.n_outputs == 9
    assert same(measured, twin)


@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, N), seed=st.integers(0, 10))
def test_any_batch_size_gives_the_same(size, seed):
    net = conv_net(seed)
    batches = [(X[start : start + size], Y[start : start + size]) for start in range(0, N, size)]
    split, whole = (phiscope.measure_layers(net, data, "*relu1", maps="positions") for data in (batches, (X, Y)))
    assert same(split["relu1"], whole["relu1"])


def test_order_is_that_of_the_pass_not_of_the_request_or_registration():
    class Reversed(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.second, self.first = nn.Linear(5, 2), nn.Linear(5, 5), nn.Linear(3, 5)

        def forward(self, x):
            return self.head(self.second(self.first(x)))

    layers = phiscope.measure_layers(Reversed(), torch.randn(40, 3), ["second", "head", "first"])
    assert list(layers) == ["first", "second", "head"]


def test_max_samples_counts_answers_of_the_network():
    measured = phiscope.measure_layers(conv_net(), (X, Y), ["conv2", "head"], maps="positions", max_samples=50)
    assert measured["head"].n_samples == 50
    assert measured["conv2"].n_samples == 50 * 4
    assert same(measured["head"], phiscope.measure(conv_net(), (X[:50], Y[:50])))


def test_ignored_labels_are_left_out_of_every_layer():
    labels = torch.where(torch.arange(N) % 4 == 0, -100, Y)
    kept = labels != -100
    net = conv_net()
    measured = phiscope.measure_layers(net, (X, labels), ["conv2"], maps="positions")["conv2"]
    assert measured.provenance["left_out"].startswith("24 ")
    assert same(measured, phiscope.measure_layers(net, (X[kept], Y[kept]), ["conv2"], maps="positions")["conv2"])
    with pytest.raises(EmptyDataError, match="96 were left out"):
        phiscope.measure_layers(net, (X, torch.full((N,), -100)))


def test_regression_and_no_targets():
    values = torch.randn(N, 3, generator=torch.Generator().manual_seed(4))
    measured = phiscope.measure_layers(conv_net(), (X, values))["relu1"]
    assert measured.n_classes is None
    assert "readout_r2" in measured
    assert "target_alignment" not in phiscope.measure_layers(conv_net(), X)["relu1"]


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


def test_sequences_of_a_convolution_have_their_features_second():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(5, 7, 1), nn.Tanh(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(7, 3))
    x = TOKENS.transpose(1, 2)
    measured = phiscope.measure_layers(net, (x, Y), ["0", "1"])
    told, outputs = by_hand(net, ["0", "1"], x)
    for name in ("0", "1"):
        assert same(measured[name], phiscope.diagonalize(told[name][0].mean(2), outputs=outputs, targets=Y))
    # Seven positions and seven channels: the last layer with weights decides, and can be overruled.
    last = phiscope.measure_layers(net, (x, Y), ["1"], channels="last")["1"]
    assert same(last, phiscope.diagonalize(told["1"][0].mean(1), outputs=outputs, targets=Y))
    assert not same(last, measured["1"])


def test_the_first_tensor_of_a_tuple_is_taken_and_said():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.LSTM(5, 4, batch_first=True), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.inner(x)[0][:, -1])

    torch.manual_seed(0)
    measured = phiscope.measure_layers(Pair(), (TOKENS, Y), ["inner"], tokens="last")["inner"]
    assert "first tensor at [0]" in measured.provenance["layer"]
    assert measured.n_features == 4


class Twice(nn.Module):
    """One activation called twice, one layer never, one only for large batches."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.act, self.head = nn.Linear(4, 5), nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)
        self.unused, self.rare = nn.Linear(4, 4), nn.Identity()

    def forward(self, x):
        x = self.act(self.b(self.act(self.a(x))))
        return self.head(self.rare(x) if len(x) > 20 else x)


FLAT = torch.randn(N, 4, generator=torch.Generator().manual_seed(2))


def test_each_call_of_a_layer_is_measured():
    torch.manual_seed(0)
    net = Twice()
    told, outputs = by_hand(net, ["act"], FLAT)
    layers = phiscope.measure_layers(net, (FLAT, Y), ["act"])
    assert list(layers) == ["act@1", "act@2"]
    for name, features in zip(layers, told["act"], strict=True):
        assert same(layers[name], phiscope.diagonalize(features, outputs=outputs, targets=Y))
    assert list(phiscope.measure_layers(net, (FLAT, Y), ["act@2"])) == ["act@2"]
    assert list(phiscope.measure_layers(net, (FLAT, Y))) == ["act@1", "head"]


def test_a_layer_that_never_runs():
    net = Twice()
    with untouched(net), pytest.raises(InputError, match="'unused' cannot be measured: it did not run"):
        phiscope.measure_layers(net, (FLAT, Y), ["unused"])
    layers = phiscope.measure_layers(net, (FLAT, Y), ["[au]*"])
    assert list(layers) == ["a", "act@1", "act@2"]
    assert "did not run" in layers.left_out["unused"]
    assert "left out: unused" in str(layers)


def test_a_layer_that_runs_in_some_batches_only():
    net = Twice()
    with untouched(net), pytest.raises(InputError, match=r"'rare' ran 0 times in batch 1 and 1 times"):
        phiscope.measure_layers(net, [(FLAT[:50], Y[:50]), (FLAT[50:60], Y[50:60])], ["rare"])


@pytest.mark.parametrize(("name", "near"), [("actt", "act"), ("haed", "head"), ("z*", "a, act")])
def test_unknown_names_offer_the_nearest(name, near):
    net = Twice()
    with untouched(net), pytest.raises(UnknownNameError, match=near) as caught:
        phiscope.measure_layers(net, (FLAT, Y), [name])
    assert caught.value.name == name


def test_an_output_that_is_no_tensor_or_not_of_the_batch():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.text, self.table, self.head = _Text(), nn.Embedding(7, 4), nn.Linear(4, 3)

        def forward(self, x):
            self.text(x)
            return self.head(x + self.table(torch.arange(7)).mean(0))

    class _Text(nn.Module):
        def forward(self, x):
            return "done"

    with pytest.raises(InputError, match="no floating tensor"):
        phiscope.measure_layers(Odd(), (FLAT, Y), ["text"])
    with pytest.raises(InputError, match=r"shape \(7, 4\), whose first axis is not the 96 inputs"):
        phiscope.measure_layers(Odd(), (FLAT, Y), ["table"])
    assert "whose first axis" in phiscope.measure_layers(Odd(), (FLAT, Y)).left_out["table"]


def test_a_map_too_large_to_flatten_is_one_sentence():
    net = conv_net()
    with untouched(net), pytest.raises(InputError, match=r"flattened has p = 216 .* max_features = 100.*pool its map"):
        phiscope.measure_layers(net, (X, Y), ["relu1"], maps="flattened", max_features=100)
    with pytest.raises(InputError, match="'head' has p = 4 features"):
        phiscope.measure_layers(net, (X, Y), ["head"], max_features=3)


def test_inputs_of_several_sizes_pool_but_do_not_flatten():
    net = conv_net()
    batches = [(X[:40], Y[:40]), (torch.cat([X, X], 2)[:40], Y[:40])]
    assert phiscope.measure_layers(net, batches, ["conv2"])["conv2"].n_samples == 80
    with untouched(net), pytest.raises(ShapeError, match=r"'conv2' has p = 48 features in batch 1 and 16 before"):
        phiscope.measure_layers(net, batches, ["conv2"], maps="flattened")


def test_nan_names_layer_and_batch():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.bad, self.head = nn.Identity(), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.bad(x).nan_to_num())

    data = FLAT.clone()
    data[70] = torch.nan
    net = Broken()
    batches = [(data[start : start + 32], Y[start : start + 32]) for start in (0, 32, 64)]
    with untouched(net), pytest.raises(NonFiniteError, match="layer 'bad' hold NaN or Inf in batch 2") as caught:
        phiscope.measure_layers(net, batches, ["bad"])
    assert caught.value.batch == 2


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_behind(error):
    net = conv_net()

    def batches():
        yield X[:40], Y[:40]
        torch.rand(3)
        raise error

    with untouched(net), pytest.raises(error):
        phiscope.measure_layers(net, batches())
    with untouched(net):
        phiscope.measure_layers(net, (X, Y), "*")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"maps": "mean"}, "maps is 'mean'"),
        ({"tokens": "cls"}, "tokens is 'cls'"),
        ({"channels": "middle"}, "channels is 'middle'"),
        ({"max_features": 0}, "max_features is 0"),
        ({"max_samples": 0}, "max_samples is 0"),
        ({"layers": []}, "layers is empty"),
        ({"layers": None}, "layers is a NoneType"),
        ({"layers": 3}, "layers is a int"),
        ({"layers": [3]}, "dotted layer names"),
    ],
)
def test_wrong_use_is_one_sentence(options, words):
    with pytest.raises(InputError, match=words):
        phiscope.measure_layers(conv_net(), (X, Y), **options)


def test_no_network_and_no_head():
    with pytest.raises(InputError, match=r"expected a torch\.nn\.Module"):
        phiscope.measure_layers(np.ones((3, 2)), (X, Y))
    with pytest.raises(NoHeadError):
        phiscope.measure_layers(nn.Sequential(nn.Flatten(), nn.Tanh()), (X, Y))


def test_half_precision():
    net = conv_net().bfloat16()
    layers = phiscope.measure_layers(net, (X.bfloat16(), Y))
    assert layers["head"].to_dict() == phiscope.measure(net, (X.bfloat16(), Y)).to_dict()
    told, outputs = by_hand(net, ["relu1"], X.bfloat16())
    twin = phiscope.diagonalize(told["relu1"][0].float().mean((2, 3)), outputs=outputs, targets=Y)
    assert layers["relu1"]["effective_dimension"] == pytest.approx(twin["effective_dimension"], rel=1e-4)


def test_intervals_come_from_the_same_pass():
    measured = phiscope.measure_layers(conv_net(), (X, Y), ["relu1"])["relu1"]
    low, high = measured.interval("participation_ratio")
    assert 1 <= low < high
    # Positions of one image stay in one shard, so they do not make an interval narrower than images do.
    together = phiscope.measure_layers(conv_net(), (X, Y), ["relu1"], maps="positions")["relu1"]
    shards = together.resampling.shards
    assert all(part.n_samples % 36 == 0 for part in shards)


def test_shards_share_one_memory():
    assert shards_for_all([100]) == 20
    assert shards_for_all([2048] * 4) == 8
    assert shards_for_all([2048] * 5) == 1


def test_compiled_and_wrapped_networks():
    net = conv_net()
    layers = phiscope.measure_layers(nn.DataParallel(net), (X, Y), ["module.relu1", "head"])
    assert layers.to_dict() == phiscope.measure_layers(net, (X, Y), ["relu1", "head"]).to_dict()
