"""Which rows of a pass are samples: positions, masks, labels that are left out or shifted."""

import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import EmptyDataError, ShapeError, TargetError
from phiscope.measurement.assemble import measurement_of
from phiscope.measurement.network_pass import PassOptions, run_pass
from phiscope.network.isolation import isolated
from plain_network import N, X, Y, from_arrays, network, same


def test_ignored_labels_are_left_out():
    labels = torch.where(torch.arange(N) % 4 == 0, -100, Y)
    kept = labels != -100
    net = network()
    measured = phiscope.measure(net, [(X[:70], labels[:70]), (X[70:], labels[70:])])
    assert measured.n_samples == int(kept.sum())
    assert measured.provenance["left_out"].startswith("30 ")
    assert same(measured, from_arrays(net, Y[kept], X[kept]))
    with pytest.raises(EmptyDataError, match="120 were left out"):
        phiscope.measure(net, (X, torch.full((N,), -100)))


class Tagger(nn.Module):
    """Answers at every position."""

    def __init__(self, outputs=3):
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, outputs)

    def forward(self, x, attention_mask=None):
        return self.head(torch.tanh(self.body(x)))


POSITIONS = torch.randn(20, 5, 4, generator=torch.Generator().manual_seed(3))
TAGS = torch.arange(100).reshape(20, 5) % 3


def uncorrected(net, batch):
    with isolated(net):
        feature_map = phiscope.split(net, [batch])[0]
        return measurement_of(run_pass(feature_map, iter([batch]), PassOptions(corrected=False)).result())


def test_positions_are_samples_when_labels_are():
    net = Tagger()
    measured = phiscope.measure(net, (POSITIONS, TAGS))
    assert measured.n_samples == 100
    assert measured.provenance["targets"] == "classes, one for each position"
    assert same(uncorrected(net, (POSITIONS, TAGS)), uncorrected(net, (POSITIONS.flatten(0, 1), TAGS.flatten())))
    # Five positions of one sample are not five independent samples: they stay in one shard.
    flat = phiscope.measure(net, (POSITIONS.flatten(0, 1), TAGS.flatten()))
    corrected = "dynamical_low_rank_corrected"
    assert measured[corrected] != pytest.approx(flat[corrected], rel=1e-4)
    ignoring = TAGS.clone()
    ignoring[:, -2:] = -100
    assert same(phiscope.measure(net, (POSITIONS, ignoring)), phiscope.measure(net, (POSITIONS[:, :3], TAGS[:, :3])))


def test_positions_with_values():
    measured = phiscope.measure(Tagger(1), (POSITIONS, POSITIONS[..., 0]))
    assert (measured.n_samples, measured.n_classes) == (100, None)


def test_one_label_a_sample_does_not_fit_positions():
    with pytest.raises(ShapeError, match=r"\(20,\).*20 x 5 positions"):
        phiscope.measure(Tagger(), (POSITIONS, TAGS[:, 0]))


def test_masked_positions_without_targets():
    mask = torch.ones(20, 5, dtype=torch.long)
    mask[:, 3:] = 0
    net = Tagger()
    measured = phiscope.measure(net, {"x": POSITIONS, "attention_mask": mask})
    assert measured.n_samples == 60
    assert "attention mask" in measured.provenance["targets"]
    assert same(measured, phiscope.measure(net, POSITIONS[:, :3]))


class NextForCausalLM(nn.Module):
    """Predicts the next token, in transformers' naming."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 5), nn.Linear(5, 7)

    def forward(self, input_ids):
        return {"logits": self.head(torch.tanh(self.embed(input_ids)))}


class Next(NextForCausalLM):
    """Two generations down it is still a causal model."""


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = NextForCausalLM()

    def forward(self, input_ids):
        return self.inner(input_ids)


def test_causal_models_shift_labels_by_one():
    words = torch.randint(7, (20, 6), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    shifted = phiscope.measure(Next(), {"input_ids": words, "labels": words})
    torch.manual_seed(0)
    by_hand = phiscope.measure(Plain(), (words[:, :-1], words[:, 1:]))
    assert shifted.n_samples == 100
    assert "shifted by one" in shifted.provenance["targets"]
    assert shifted.to_dict() == pytest.approx(by_hand.to_dict(), rel=1e-5)
    # Targets that somebody has shifted already are taken as they are.
    torch.manual_seed(0)
    taken = phiscope.measure(Next(), (words[:, :-1], words[:, 1:]))
    assert taken.to_dict() == pytest.approx(by_hand.to_dict(), rel=1e-5)


def test_labels_that_repeat_the_inputs_are_warned_of():
    words = torch.randint(7, (20, 6), generator=torch.Generator().manual_seed(0))
    measured = phiscope.measure(Plain(), (words, words))
    assert any("repeat the inputs" in warning for warning in measured.warnings)
    measured = phiscope.measure(Plain(), (words, words.flip(1)))
    assert not any("repeat the inputs" in warning for warning in measured.warnings)


class Sounds(nn.Module):
    """Answers at every second position."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x, attention_mask=None):
        return self.head(torch.tanh(self.body(x[:, ::2])))


def test_a_mask_of_finer_positions_is_warned_of_unless_labels_tell():
    mask = torch.ones(20, 5, dtype=torch.long)
    mask[:, 3:] = 0
    labels = TAGS[:, ::2].clone()

    def doubted(labels):
        measured = phiscope.measure(Sounds(), {"x": POSITIONS, "attention_mask": mask, "labels": labels})
        return any("padding counts as samples" in warning for warning in measured.warnings)

    assert doubted(labels)
    labels[:, 2:] = -100
    assert not doubted(labels)


def test_tokens_that_are_put_together_without_their_mask_are_warned_of():
    mask = torch.ones(20, 5, dtype=torch.long)
    mask[:, 3:] = 0
    words = "padding was read like the rest"
    batch = {"x": POSITIONS, "attention_mask": mask, "labels": TAGS[:, 0]}

    def told(net, batch, **settings):
        return [warning for warning in phiscope.measure(net, batch, **settings).warnings if words in warning]

    class Pooling(Sounds):
        def forward(self, x, attention_mask=None):
            return self.head(torch.tanh(self.body(x[:, ::2]))).mean(1)

    assert told(Pooling(), batch, features="body")
    assert not told(Pooling(), {**batch, "attention_mask": torch.ones_like(mask)}, features="body")
    assert not told(Tagger(), {**batch, "labels": TAGS})


HOT = nn.functional.one_hot(Y, 3)
MISFITS = {
    "one-hot": ((X, HOT), r"one-hot.*targets=lambda batch: batch\[1\]\.argmax\(-1\)"),
    "one-hot in a mapping": ({"x": X, "label": HOT}, r"one-hot.*batch\['label'\]\.argmax\(-1\)"),
    "several labels a sample": ((X, torch.ones_like(HOT)), r"go in as floats.*batch\[1\]\.float\(\)"),
    "another length": ((X, HOT[:, :2] + 5), "another length or resolution.*targets=lambda batch: None"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_integer_targets_of_another_shape_are_told_what_they_are(name):
    data, words = MISFITS[name]
    with pytest.raises(ShapeError, match=words):
        phiscope.measure(network(), [data])


def test_what_the_message_about_targets_says_works():
    net, one_hot = network(), (X, HOT)
    classes = phiscope.measure(net, [one_hot], targets=lambda batch: batch[1].argmax(-1))
    assert same(classes, from_arrays(net, Y, X))
    maps = torch.randn(10, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(160).reshape(10, 4, 4) % 3
    hot = nn.functional.one_hot(maps[1], 3).movedim(-1, 1)
    with pytest.raises(ShapeError, match=r"one-hot.*argmax\(1\)"):
        phiscope.measure(nn.Conv2d(3, 3, 1), (maps[0], hot))
    finer = nn.functional.one_hot(Y, 3)[:10, None].repeat(1, 2, 1)
    assert "readout_r2" not in phiscope.measure(net, [(X[:10], finer)], targets=lambda batch: None).to_dict()


class Choosing(nn.Module):
    """A score for each of four choices."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 1)

    def forward(self, x):
        return self.head(torch.tanh(self.body(x))).squeeze(-1)


def test_of_scores_of_choices_each_is_right_or_not():
    choices, right = torch.randn(50, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 4

    class Flat(Choosing):
        def forward(self, x):
            return super().forward(x.flatten(0, 1)).view(-1, 4)

    with pytest.raises(ShapeError, match=r"of 4 scores a sample.*one_hot\(batch\[1\], 4\)"):
        phiscope.measure(Flat(), (choices, right))
    measured = phiscope.measure(Flat(), (choices, right), targets=lambda batch: nn.functional.one_hot(batch[1], 4))
    by_hand = phiscope.measure(Choosing(), (choices.flatten(0, 1), nn.functional.one_hot(right, 4).flatten()))
    assert measured.n_samples == 200
    assert measured["readout_r2"] == pytest.approx(by_hand["readout_r2"], rel=1e-6)


def test_two_classes_numbered_from_one_are_named():
    with pytest.raises(TargetError, match="if they are 1 and 2, subtract 1"):
        phiscope.measure(Choosing(), (torch.randn(20, 4), torch.arange(20) % 2 + 1))
    with pytest.raises(TargetError, match="apart; pass values as floats"):
        phiscope.measure(Choosing(), (torch.randn(20, 4), torch.arange(20) % 3 + 1))
