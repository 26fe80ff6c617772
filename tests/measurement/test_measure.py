"""measure(): the same numbers as from arrays, whatever the model's form; clear sentences for bad input."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from phiscope.errors import EmptyDataError, InputError, NoHeadError, NonFiniteError, ShapeError, TargetError
from phiscope.measurement.measure import measure_batches
from phiscope.network.hooks import own_tensors
from phiscope.network.isolation import isolated
from untouched import untouched

N = 120
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 3


def network(outputs=3, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(), nn.Linear(6, outputs))


def from_arrays(net, targets, x=X):
    net = net.eval()
    head = (net[-1].weight, net[-1].bias)
    num_classes = None if targets.is_floating_point() else len(head[1])
    with torch.no_grad():
        return phiscope.diagonalize(net[:-1](x), head=head, targets=targets, num_classes=num_classes)


def same(a, b, rel=1e-4):
    # Features are float32 and may differ in their last bits with the size of a batch.
    return a.to_dict() == pytest.approx(b.to_dict(), rel=rel, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, N), max_size=6), seed=st.integers(0, 20))
def test_any_split_into_batches_gives_the_same(cuts, seed):
    net = network(seed=seed)
    edges = sorted({0, N, *cuts})
    batches = [(X[a:b], Y[a:b]) for a, b in pairwise(edges)]
    assert same(phiscope.measure(net, iter(batches)), from_arrays(net, Y))


def test_control_leaving_out_a_batch_does_not_give_the_same():
    net = network()
    assert not same(phiscope.measure(net, [(X[:60], Y[:60])]), from_arrays(net, Y))


def test_eval_mode_is_used_and_the_result_repeats():
    net = network().train()
    first, second = phiscope.measure(net, (X, Y)), phiscope.measure(net, (X, Y))
    assert first.to_dict() == second.to_dict()
    assert net.training


def test_regression_targets():
    net = network(outputs=2)
    values = torch.randn(N, 2, generator=torch.Generator().manual_seed(5))
    measured = phiscope.measure(net, (X, values))
    assert measured.n_classes is None
    assert same(measured, from_arrays(net, values))
    one = phiscope.measure(network(outputs=1), (X, values[:, 0]))
    assert one.n_outputs == 1
    assert "target_alignment" in one


def test_two_classes_from_one_output():
    measured = phiscope.measure(network(outputs=1), (X, Y % 2))
    assert (measured.n_classes, measured.n_outputs) == (2, 1)
    assert phiscope.measure(network(outputs=1), (X, (Y % 2).bool())).n_classes == 2
    with pytest.raises(TargetError, match=r"one output.*floats"):
        phiscope.measure(network(outputs=1), (X, Y))


def test_classes_that_never_occur_are_counted():
    measured = phiscope.measure(network(outputs=5), (X, Y))
    assert measured.n_classes == 5
    assert any("never occur" in warning for warning in measured.warnings)


@pytest.mark.parametrize("labels", [Y + 1, Y - 1, torch.full((N,), 7)])
def test_classes_outside_the_head(labels):
    net = network()
    with untouched(net), pytest.raises(TargetError, match="class indices"):
        phiscope.measure(net, (X, labels))


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


@pytest.mark.parametrize("count", [2, 49, 50, 51, 120, 1000])
def test_max_samples_is_exact(count):
    net = network()
    measured = phiscope.measure(net, DataLoader(TensorDataset(X, Y), batch_size=50), max_samples=count)
    assert measured.n_samples == min(count, N)
    assert same(measured, from_arrays(net, Y[:count], X[:count]))


def test_max_samples_reads_no_batch_more_and_takes_longer_targets():
    taken = []

    def batches():
        for start in range(0, N, 10):
            taken.append(start)
            yield X[start : start + 10]

    measured = phiscope.measure(network(), batches(), targets=Y, max_samples=20)
    assert taken == [0, 10]
    assert measured.n_samples == 20


@pytest.mark.parametrize("count", [0, -1, True])
def test_max_samples_has_to_be_positive(count):
    with pytest.raises(InputError, match="max_samples"):
        phiscope.measure(network(), (X, Y), max_samples=count)


def test_nan_names_the_batch():
    broken = X.clone()
    broken[75] = float("nan")
    net = network()
    loader = DataLoader(TensorDataset(broken, Y), batch_size=25)
    with untouched(net), pytest.raises(NonFiniteError, match="batch 3") as caught:
        phiscope.measure(net, loader)
    assert caught.value.batch == 3


def test_a_model_without_numbers():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)).to("meta")
    with pytest.raises(InputError, match="on the device 'meta', where parameters have shapes and no numbers"):
        phiscope.measure(model, (torch.zeros(5, 3), torch.zeros(5, dtype=torch.long)))


def test_arguments_that_cannot_be_used():
    with pytest.raises(InputError, match="arrays go to diagonalize"):
        phiscope.measure(X, (X, Y))
    with pytest.raises(NoHeadError):
        phiscope.measure(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), (X, Y))
    with pytest.raises(ShapeError, match="one class index"):
        phiscope.measure(network(), (X, torch.zeros(N, 3, dtype=torch.long)))
    with pytest.raises(ShapeError, match="one row for"):
        phiscope.measure(network(), X, targets=lambda batch: torch.zeros(N - 1))
    with pytest.raises(InputError, match="rank_tolerance"):
        phiscope.measure(network(), (X, Y), rank_tolerance=2.0)


def test_provenance_tells_what_was_chosen():
    measured = phiscope.measure(network(), (X, Y))
    told = measured.provenance
    assert told["head"] == "4 (Linear)"
    assert told["layout"] == "the output: as it is"
    assert told["targets"] == "classes, one for each sample"
    assert (told["model"], told["device"], told["batches"]) == ("Sequential", "cpu", "1")


def test_progress_bar(capsys):
    phiscope.measure(network(), (X, Y), progress=True)
    assert "measuring" in capsys.readouterr().err
    phiscope.measure(network(), (X, Y), progress=False)
    phiscope.measure(network(), (X, Y))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_are_measured_in_float64(dtype):
    net = network().eval().to(dtype)
    measured = phiscope.measure(net, (X.to(dtype), Y))
    with torch.no_grad():
        features = net[:-1](X.to(dtype)).double()
    head = (net[-1].weight.double(), net[-1].bias.double())
    expected = phiscope.diagonalize(features, head=head, targets=Y)
    assert same(measured, expected, rel=1e-9)
    assert measured.provenance["precision"] == str(dtype)


def test_half_precision_outside_autocast():
    net = network()
    plain = phiscope.measure(net, (X, Y))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert phiscope.measure(net, (X, Y)).to_dict() == plain.to_dict()


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
        return measure_batches(phiscope.split(net, [batch])[0], iter([batch]), corrected=False)


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


def paired(net, initial, x=X):
    with isolated(net):
        feature_map, _ = phiscope.split(net, x)
        batches = iter([(x[:50], Y[:50]), (x[50:], Y[50:])])
        return measure_batches(feature_map, batches, initial=initial)


def test_similarity_to_the_initial_features():
    net = network().eval()
    initial = {name: tensor.clone() for name, tensor in own_tensors(net).items()}
    assert paired(net, initial)["initial_kernel_similarity"] == pytest.approx(1.0, abs=1e-12)
    with torch.no_grad():
        before = net[:-1](X).double()
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
        after = net[:-1](X).double()
    with untouched(net):
        told = paired(net, initial)["initial_kernel_similarity"]
    # The naive twin: centered n x n kernels.
    kernels = [(phi - phi.mean(0)) @ (phi - phi.mean(0)).T for phi in (before, after)]
    naive = float((kernels[0] * kernels[1]).sum() / (kernels[0].norm() * kernels[1].norm()))
    assert told == pytest.approx(naive, rel=1e-6)
    assert told < 0.999


def test_similarity_of_constant_features_is_absent_with_a_warning():
    net = network().eval()
    nn.init.zeros_(net[1].weight)
    measured = paired(net, own_tensors(net))
    assert "initial_kernel_similarity" not in measured
    assert any("constant" in warning for warning in measured.warnings)


def test_device_by_name_and_targets_as_arrays():
    net = network()
    expected = phiscope.measure(net, (X, Y)).to_dict()
    assert phiscope.measure(net, (X, Y), device="cpu").to_dict() == expected
    assert phiscope.measure(net, X, targets=Y.numpy()).to_dict() == expected
    assert phiscope.measure(net, X, targets=np.asarray(Y).tolist()).to_dict() == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_model_stays_where_it_is():
    net = network()
    with untouched(net):
        measured = phiscope.measure(net, (X, Y), device="cuda")
    assert measured.provenance["device"].startswith("cuda")
    assert same(measured, phiscope.measure(net, (X, Y)), rel=1e-2)
