"""The probe where layers have positions: maps, tokens, padding, several calls; exact where the head can say it."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import InputError
from phiscope.surgery import damage


def pictures(n=120, classes=3):
    torch.manual_seed(0)
    return torch.randn(n, 1, 6, 6, dtype=torch.float64), torch.arange(n) % classes


@pytest.fixture(scope="module")
def conv():
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 3),
    )  # fmt: skip
    return net.double().eval(), pictures()


@pytest.mark.parametrize("of", ["single", "first", "last"])
def test_a_map_before_the_mean_and_the_head_that_reads_the_mean_agree(conv, of):
    """The pooled map is the head's input: the squared change of logits is rho_k norm^2(W v_k), exactly."""
    net, data = conv
    layers = phiscope.measure_layers(net, data, ["3"])
    by_layer = damage(net, data, layers["3"], layer="3", of=of)
    by_head = damage(net, data, phiscope.measure(net, data), of=of)
    assert by_layer.logit_change == pytest.approx(by_head.logit_change, rel=1e-8)
    assert by_layer.loss_added == pytest.approx(by_head.loss_added, rel=1e-6, abs=1e-12)
    m = layers["3"]
    weight = net[6].weight.detach().numpy()
    alone = m.centered.eigenvalues * ((weight @ m.centered.eigenvectors) ** 2).sum(axis=0)
    expected = {"single": alone, "first": np.cumsum(alone), "last": np.cumsum(alone[::-1])[::-1]}[of]
    assert by_layer.logit_change == pytest.approx(expected, rel=1e-8)
    assert by_layer.reading == "map with features on the second axis: mean over positions"


@pytest.mark.parametrize("maps", ["pooled", "positions", "flattened"])
def test_an_early_map_by_hand(conv, maps):
    net, (x, y) = conv
    m = phiscope.measure_layers(net, (x, y), ["1"], maps=maps)["1"]
    found = damage(net, (x, y), m, layer="1", maps=maps, k=[1])
    v, mean = (torch.from_numpy(one.copy()) for one in (m.centered.eigenvectors[:, 0], m.feature_mean))
    with torch.no_grad():
        hidden = net[:2](x)
        if maps == "flattened":
            rows = hidden.flatten(1)
            cut = (rows - ((rows - mean) @ v)[:, None] * v).reshape(hidden.shape)
        elif maps == "positions":
            rows = hidden.movedim(1, -1)
            cut = (rows - ((rows - mean) @ v)[..., None] * v).movedim(-1, 1)
        else:
            away = (hidden.mean((2, 3)) - mean) @ v
            cut = hidden - away[:, None, None, None] * v[:, None, None]
        expected = ((net[2:](cut) - net(x)) ** 2).sum(dim=1).mean().item()
    assert found.logit_change[0] == pytest.approx(expected, rel=1e-8)


def test_a_measurement_that_was_read_in_another_way_is_refused(conv):
    net, data = conv
    layers = phiscope.measure_layers(net, data, ["1"], maps="positions")
    with pytest.raises(InputError, match=r"each position is a sample.*here it is .*mean over positions.*pass maps="):
        damage(net, data, layers["1"], layer="1")
    with pytest.raises(InputError, match=r"layer '3' gives .* 6 features .* the measurement has 5"):
        damage(net, data, layers["1"], layer="3", maps="positions")


class Tagger(nn.Module):
    """Answers at each token."""

    def __init__(self):
        super().__init__()
        self.words, self.mixed, self.head = nn.Embedding(20, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, ids, attention_mask=None):
        return self.head(torch.tanh(self.mixed(self.words(ids))))


def test_positions_where_the_network_answers_at_each():
    torch.manual_seed(0)
    net = Tagger().double().eval()
    ids, tags = torch.randint(20, (60, 7)), torch.randint(4, (60, 7))
    m = phiscope.measure_layers(net, (ids, tags), ["mixed"])["mixed"]
    found = damage(net, (ids, tags), m, layer="mixed", k=[1, 2])
    assert (found.n_samples, found.n_inputs) == (420, 60)
    v, mean = torch.from_numpy(m.centered.eigenvectors[:, 1].copy()), torch.from_numpy(m.feature_mean.copy())
    with torch.no_grad():
        hidden = net.mixed(net.words(ids))
        cut = hidden - ((hidden - mean) @ v)[..., None] * v
        change = net.head(torch.tanh(cut)) - net(ids)
    assert found.logit_change[1] == pytest.approx(float((change**2).sum(-1).mean()), rel=1e-8)


class Reader(nn.Module):
    """One answer for a text, from the mean of its tokens that the mask keeps; its layer runs twice."""

    def __init__(self):
        super().__init__()
        self.words, self.step, self.head = nn.Embedding(20, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, input_ids, attention_mask):
        tokens = torch.tanh(self.step(torch.tanh(self.step(self.words(input_ids)))))
        kept = attention_mask[..., None].to(tokens.dtype)
        return self.head((tokens * kept).sum(1) / kept.sum(1))


def texts(n=80):
    torch.manual_seed(0)
    mask = torch.ones(n, 5, dtype=torch.long)
    mask[::3, 3:] = 0
    return [{"input_ids": torch.randint(20, (n, 5)), "attention_mask": mask, "labels": torch.arange(n) % 3}]


def test_padding_is_left_alone_and_one_of_several_calls_is_named():
    net, data = Reader().double().eval(), texts()
    layers = phiscope.measure_layers(net, data, ["step"])
    assert list(layers) == ["step@1", "step@2"]
    with pytest.raises(InputError, match=r"expected layer= one of 'step@1', 'step@2'"):
        damage(net, data, layers["step@2"], layer="step")
    found = damage(net, data, layers["step@2"], layer="step@2", k=[1])
    m, ids, mask = layers["step@2"], data[0]["input_ids"], data[0]["attention_mask"]
    v, mean = torch.from_numpy(m.centered.eigenvectors[:, 0].copy()), torch.from_numpy(m.feature_mean.copy())
    kept = mask[..., None].double()
    with torch.no_grad():
        tokens = net.step(torch.tanh(net.step(net.words(ids))))
        away = ((tokens * kept).sum(1) / kept.sum(1) - mean) @ v
        cut = torch.tanh(tokens - away[:, None, None] * v * kept)
        change = net.head((cut * kept).sum(1) / kept.sum(1)) - net(ids, mask)
    assert found.logit_change[0] == pytest.approx(float((change**2).sum(-1).mean()), rel=1e-8)


def test_noise_is_the_same_for_the_same_seed_and_batches_do_not_repeat_it(conv):
    net, (x, y) = conv
    m = phiscope.measure_layers(net, (x, y), ["3"])["3"]
    batches = [(x[:60], y[:60]), (x[60:], y[60:])]
    found = [damage(net, batches, m, layer="3", k=[1], kind="replace", seed=seed).logit_change[0] for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    # The same pictures twice, with the same noise in both halves, would be a half's change.
    twice = [(x[:60], y[:60])] * 2
    once = damage(net, twice[:1], m, layer="3", k=[1], kind="replace").logit_change[0]
    assert damage(net, twice, m, layer="3", k=[1], kind="replace").logit_change[0] != once


def test_a_layer_that_does_not_run(conv):
    net, data = conv
    idle = nn.Sequential(net, nn.Identity())
    idle[1] = nn.Identity()

    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.idle = net, nn.Linear(3, 3)

        def forward(self, x):
            return self.net(x)

    m = phiscope.measure(net, data)
    with pytest.raises(InputError, match="the layer, a Linear, does not run"):
        damage(Skips(), data, m, layer="idle")


def layered():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).double().eval()
    return net, (torch.randn(200, 6, dtype=torch.float64), torch.arange(200) % 3)


def test_a_measurement_of_another_layer_is_refused():
    """All are of width 8, so that nothing but their names tells them apart."""
    net, data = layered()
    layers, m = phiscope.measure_layers(net, data, ["0", "1"]), phiscope.measure(net, data)
    with pytest.raises(InputError, match=r"is of '1 \(Linear\), output', .* taken from '0 \(Linear\)"):
        damage(net, data, layers["1"], layer="0", k=[1])
    with pytest.raises(InputError, match=r"is of '0 \(Linear\), output', .*what the head '3 \(Linear\)' reads"):
        damage(net, data, layers["0"], k=[1])
    with pytest.raises(InputError, match=r"is of '3 \(Linear\), input', .* taken from '1 \(Linear\)"):
        damage(net, data, m, layer="1", k=[1])
    for features in ("1", net[1]):
        chosen = phiscope.measure(net, data, features=features)
        with pytest.raises(InputError, match=r"is of '1 \(Linear\), output'"):
            damage(net, data, chosen, k=[1])
        assert damage(net, data, chosen, layer="1", k=[1]).k.tolist() == [1]
    with pytest.raises(InputError, match="the measurement is of '2 "):
        damage(net, data, phiscope.measure_layers(net, data, ["2"])["2"], k=[1])


def test_what_the_head_reads_may_be_what_a_layer_gives():
    net, data = layered()
    by_head = damage(net, data, phiscope.measure(net, data), k=[1, 2])
    by_layer = damage(net, data, phiscope.measure(net, data), layer="2", k=[1, 2])
    assert by_layer.loss_added == pytest.approx(by_head.loss_added)
    last = phiscope.measure_layers(net, data, ["1"])
    entry = last[last.head] if last.head in last else phiscope.measure_layers(net, data, "auto")["3"]
    assert damage(net, data, entry, k=[1, 2]).loss_added == pytest.approx(by_head.loss_added)


def test_arrays_have_no_name_and_parametrized_layers_keep_theirs():
    net, data = layered()
    features = net[:3](data[0]).detach()
    by_head = damage(net, data, phiscope.measure(net, data), k=[1])
    assert damage(net, data, phiscope.diagonalize(features), k=[1]).loss_added == pytest.approx(by_head.loss_added)
    assert damage(net, data, phiscope.diagonalize(features), layer="2", k=[1]).k.tolist() == [1]
    m = phiscope.measure(net, data)
    torch.nn.utils.parametrizations.weight_norm(net[3])
    assert damage(net, data, m, k=[1]).loss_added == pytest.approx(by_head.loss_added)


def test_the_call_of_a_layer_is_part_of_its_name():
    net, data = Reader().double().eval(), texts()
    layers = phiscope.measure_layers(net, data, ["step"])
    with pytest.raises(InputError, match=r"call 1 of 2.*call 2 of 2"):
        damage(net, data, layers["step@1"], layer="step@2", k=[1])
