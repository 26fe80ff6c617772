"""Outputs as spans of functions: as many as count, formed once, and no C x C array for many of them."""

import numpy as np
import pytest
import torch

import phiscope
from phiscope import diagonalize
from phiscope.linalg.eigen import Diagonalized
from phiscope.spectrum.spans import OutputFunctions


def test_of_many_outputs_only_those_above_the_tolerance_are_formed(monkeypatch):
    """A thousand outputs have as many functions, and few of them count; the curve over tolerances reads them all."""
    formed = []
    vectors = Diagonalized.vectors
    monkeypatch.setattr(Diagonalized, "vectors", lambda self: formed.append(len(self.values)) or vectors(self))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 80)) * np.arange(1.0, 81) ** -1.5
    head = (rng.standard_normal((300, 80)), rng.standard_normal(300))
    measured = diagonalize(x, head=head, targets=rng.integers(0, 300, 500), rank_tolerance=1e-2)
    early = measured.to_dict()
    assert early["output_rank"] < 20
    assert 82 not in formed
    curve = measured.tolerance_curve
    assert 82 in formed
    assert measured.to_dict() == early
    for tolerance, rank, value in curve:
        again = diagonalize(x, head=head, intervals=False, rank_tolerance=tolerance)
        assert (again["output_rank_raw"], again["dynamical_low_rank"]) == (rank, pytest.approx(value, rel=1e-10))


def test_functions_are_made_once_and_made_again_for_more():
    made = []

    def make(rank):
        made.append(rank)
        return np.eye(5)[:, :rank], np.eye(rank)

    functions = OutputFunctions(spectrum=np.ones(5), make=make)
    for rank in (2, 1, 0, 4, 3, 2):
        np.testing.assert_array_equal(functions.centered_loadings(rank), np.eye(5)[:, :rank])
        assert functions.squared_projection(rank) == rank
    assert made == [2, 4]


def spans_of(x, targets, given, how):
    """Outputs as a head, as measured outputs, of fewer samples than features, or with k eigenfunctions alone."""
    many, wide = slice(None), slice(x.shape[1] - 2)
    rows = wide if how.endswith("few samples") else many
    outputs = {"head": given} if how.startswith("head") else {"outputs": x @ given[0].T + given[1]}
    outputs = {key: value[rows] if key == "outputs" else value for key, value in outputs.items()}
    return diagonalize(x[rows], targets=targets[rows], **outputs, **({"k": 4} if how.endswith("k") else {}))


HOW = ["head", "head, few samples", "head, k", "measured", "measured, few samples", "measured, k"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("n_outputs", [2, 3, 5, 10, 60])
@pytest.mark.parametrize("bias", [0.0, 100.0])
def test_outputs_that_differ_by_constants_only_span_nothing_for_classes(how, n_outputs, bias):
    """Softmax sees no shift that all outputs share: what their differences vary by is rounding of the shift."""
    rng = np.random.default_rng(12)
    x, y = rng.normal(size=(600, 20)), rng.integers(0, n_outputs, 600)
    head = np.repeat(rng.normal(size=(1, 20)), n_outputs, axis=0), bias * rng.normal(size=n_outputs)
    m = spans_of(x, y, head, how)
    assert m["output_rank"] == 0
    assert m.evidence.regime is None
    for name in ("dynamical_low_rank_centered", "used_variance", "regime"):
        assert "differ from one another by constants only" in m.absent[name]
    # Control: a millionth of the shift is a difference, and for values there is no shift that nobody sees.
    apart = head[0] + 1e-6 * rng.normal(size=head[0].shape), head[1]
    assert spans_of(x, y, apart, how)["output_rank"] >= min(n_outputs - 1, 16)
    assert spans_of(x, y.astype(float)[:, None], head, how)["output_rank"] == 1


@pytest.mark.parametrize("how", ["head", "head, k", "head, few samples"])
def test_a_head_that_reads_weak_features_alike_gives_no_differences(how):
    """There W S W^T is rounded to the last digit of strong features that it does not read, and not to its own."""
    rng = np.random.default_rng(5)
    turn = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    x = (rng.normal(size=(600, 20)) * np.geomspace(1, 1e-5, 20)) @ turn
    y = rng.integers(0, 3, 600)
    assert spans_of(x, y, (np.repeat(turn[-1:], 3, axis=0), np.zeros(3)), how)["output_rank"] == 0


@pytest.mark.parametrize("how", ["head", "head, few samples", "head, k"])
@pytest.mark.parametrize("kind", ["classes", "values"])
def test_a_head_beside_all_that_varies_gives_constant_outputs(how, kind):
    rng = np.random.default_rng(6)
    turn = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    x, y = rng.normal(size=(600, 20)) @ turn[:20], rng.integers(0, 3, 600)
    targets = y if kind == "classes" else rng.normal(size=(600, 3))
    m = spans_of(x, targets, (rng.normal(size=(3, 20)) @ turn[20:], np.arange(3.0)), how)
    assert m["output_rank"] == 0
    assert m.absent["dynamical_low_rank"] == m.absent["dynamical_low_rank_centered"]
    assert "the outputs are constant" in m.absent["dynamical_low_rank"]
    # Control: features read at a thousandth of their strength vary.
    seen = rng.normal(size=(3, 20)) @ turn[20:] + 1e-3 * rng.normal(size=(3, 20)) @ turn[:20]
    assert spans_of(x, targets, (seen, np.arange(3.0)), how)["output_rank"] >= 2


@pytest.mark.parametrize("kind", ["classes", "values"])
def test_outputs_that_vary_by_their_last_digit_are_constant(kind):
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(600, 20)), rng.integers(0, 3, 600)
    targets = y if kind == "classes" else rng.normal(size=(600, 3))
    noise = rng.normal(size=(600, 3))
    m = diagonalize(x, outputs=7 + 1e-15 * noise, targets=targets)
    assert m["output_rank"] == 0
    assert "the outputs are constant" in m.absent["dynamical_low_rank_centered"]
    # Control: a mean far above the spread is no rounding, in float32 either.
    far = (1e6 + 1e3 * noise).astype(np.float32)
    assert diagonalize(x, outputs=far, targets=targets)["output_rank"] == (2 if kind == "classes" else 3)


@pytest.mark.parametrize("kind", ["classes", "values"])
@pytest.mark.parametrize("how", ["head", "outputs"])
def test_outputs_far_from_zero_are_not_called_constant(kind, how):
    rng = np.random.default_rng(1)
    x, weight, bias = rng.normal(size=(500, 10)), rng.normal(size=(2, 10)), 1e9 * np.array([1.0, 2.0])
    targets = rng.integers(0, 2, 500) if kind == "classes" else rng.normal(size=(500, 2))
    m = diagonalize(x, targets=targets, **{how: (weight, bias) if how == "head" else x @ weight.T + bias})
    assert "raw span holds only the constant" in m.absent["dynamical_low_rank"]
    assert m.absent["dynamical_low_rank"].endswith("read the centered number")
    assert 0 < m["dynamical_low_rank_centered"] < 1


@pytest.mark.parametrize("kind", ["classes", "values"])
def test_constant_outputs_are_called_constant(kind):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 10))
    targets = rng.integers(0, 2, 500) if kind == "classes" else rng.normal(size=(500, 2))
    m = diagonalize(x, targets=targets, head=(np.zeros((2, 10)), np.ones(2)))
    named = "dynamical_low_rank", "dynamical_low_rank_centered", "used_variance", "dynamical_low_rank_random_head"
    for name in named:
        assert m.absent[name] == "the outputs are constant on these samples"
    assert m.evidence.sentence().startswith("cannot be told: the outputs are constant on these samples")


def test_an_advice_is_given_only_where_it_helps():
    """Far from zero and apart by constants: there is no centered number to read."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(500, 10)), rng.integers(0, 2, 500)
    m = diagonalize(x, targets=y, head=(np.repeat(rng.normal(size=(1, 10)), 2, axis=0), 1e9 * np.ones(2)))
    assert "raw span holds only the constant" in m.absent["dynamical_low_rank"]
    assert "read the centered" not in m.absent["dynamical_low_rank"]
    assert "constants only" in m.absent["dynamical_low_rank_centered"]


@pytest.mark.parametrize("share", [1e-12, 1e-6])
def test_classes_of_next_to_no_weight_are_no_direction_of_the_targets(share):
    """As of values, of which directions below 1e-10 of the largest are none: one-hot values say the same as classes."""
    rng = np.random.default_rng(3)
    y = np.arange(600) % 6
    x = np.eye(6, 12)[y] + rng.normal(size=(600, 12))
    weights = np.where(y == 5, share, 1.0)
    classes, values = (phiscope.diagonalize(x, targets=goal, weights=weights) for goal in (y, np.eye(6)[y]))
    rank = 4 if share < 1e-10 else 5
    for spectrum, other in ((classes.centered, values.centered), (classes.raw, values.raw)):
        np.testing.assert_allclose(spectrum.cumulative_quality, other.cumulative_quality, rtol=1e-5)
        np.testing.assert_allclose(spectrum.quality, other.quality, atol=1e-5)
    assert classes["target_alignment_whitened"] == pytest.approx(values["target_alignment_whitened"], rel=1e-5)
    assert classes["discriminant_information"] <= rank
    held = classes["discriminant_information"] / rank
    assert classes["nc1_bounded"] == pytest.approx(1 - held, rel=1e-6)


def test_two_classes_of_which_one_weighs_next_to_nothing_stay_two():
    """The tolerance is a share of what there is: their one direction is the largest."""
    rng = np.random.default_rng(3)
    y = np.arange(200) % 2
    x = np.eye(2, 5)[y] + rng.normal(size=(200, 5))
    classes, values = (
        phiscope.diagonalize(x, targets=goal, weights=np.where(y == 1, 1e-12, 1.0)) for goal in (y, np.eye(2)[y])
    )
    assert classes["target_alignment_whitened"] == pytest.approx(values["target_alignment_whitened"], rel=1e-3)
    assert classes["discriminant_information"] > 0


@pytest.mark.parametrize("k", [None, 4])
def test_values_that_vary_by_their_last_digit_are_constant(k):
    """In every number of targets alike: alignment and NRC3 were made of the rounding that the readout refused."""
    rng = np.random.default_rng(8)
    x, noise = rng.normal(size=(600, 20)), rng.normal(size=(600, 2))
    given = {"head": (rng.normal(size=(2, 20)), None), **({} if k is None else {"k": k})}
    m = diagonalize(x, targets=7 + 1e-15 * noise, **given)
    for name in ("target_alignment", "target_alignment_whitened", "nrc3"):
        assert m.absent[name] == "the targets are constant on these samples"
    # Control: a spread of a millionth is none.
    m = diagonalize(x, targets=7 + 1e-6 * noise, **given)
    assert 0 < m["target_alignment"] < 1
    assert "nrc3" in m


SHIFT = 100 * np.random.default_rng(3).normal(size=300)
COLUMNS = np.column_stack([SHIFT, np.random.default_rng(4).normal(size=(300, 7))])
THREE = np.arange(300) % 3


@pytest.mark.parametrize("rows", [300, 7])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("read", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_outputs_are_rounded_as_they_came(rows, dtype, read):
    """Apart by constants up to single precision: what is left is its rounding, which was two directions."""
    outputs = (SHIFT[:, None] + [0.0, 0.3, 0.7]).astype(dtype)
    m = diagonalize(COLUMNS[:rows], read(outputs[:rows]), targets=THREE[:rows])
    assert m["output_rank"] == 0
    assert "differ from one another by constants only" in m.absent["used_variance"]
    # Control: ten times the rounding of the outputs is a difference; a formed covariance of doubles sees 3e-8 of them.
    step = 1000 * max(float(np.finfo(dtype).eps), 1e-7) * np.random.default_rng(5).normal(size=(300, 3))
    apart = diagonalize(COLUMNS[:rows], read((outputs + step).astype(dtype)[:rows]), targets=THREE[:rows])
    assert apart["output_rank"] == 2


def test_outputs_of_every_table_are_rounded_as_they_came(tmp_path):
    outputs = (SHIFT[:, None] + [0.0, 0.3, 0.7]).astype(np.float32)
    np.save(tmp_path / "o.npy", outputs)
    stored = np.load(tmp_path / "o.npy", mmap_mode="r")
    assert diagonalize(COLUMNS, stored, targets=THREE)["output_rank"] == 0
    wide = np.hstack([COLUMNS, np.random.default_rng(6).normal(size=(300, 2100))])
    assert diagonalize(wide, outputs, targets=THREE, k=4)["output_rank"] == 0
    chunked = pytest.importorskip("dask.array", reason="dask is not installed: pip install 'phiscope[dask]'")
    parts = [chunked.from_array(part, chunks=(100, *part.shape[1:])) for part in (COLUMNS, outputs, THREE)]
    assert diagonalize(parts[0], parts[1], targets=parts[2])["output_rank"] == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_takes_no_direction_of_many_outputs(dtype):
    """The noise of a thousand rounded outputs lies in a thousand directions: each of them has a thousandth of it."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 300, generator=g) * torch.arange(1, 301) ** -0.7
    outputs = x @ torch.randn(300, 1000, generator=g)
    labels = np.arange(2000) % 1000
    exact = diagonalize(x, outputs, targets=labels, intervals=False)
    rounded = diagonalize(x, outputs.to(getattr(torch, dtype)), targets=labels, intervals=False)
    assert exact["output_rank"] > 200
    for name in ("output_rank", "output_rank_raw"):
        assert rounded[name] == pytest.approx(exact[name], rel=0.1 if dtype == "bfloat16" else 0.02)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kind", ["classes", "values", None])
def test_outputs_constant_to_their_last_digit_are_called_constant(dtype, kind):
    """One step up or down of a number near 7, as products of another order make it."""
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(600, 20)), rng.integers(0, 3, 600)
    targets = {"classes": y, "values": rng.normal(size=(600, 3)), None: None}[kind]
    steps = torch.as_tensor(rng.integers(0, 2, size=(600, 3)))
    outputs = torch.tensor([7.0, 5.0, 6.0]).to(dtype) + (4 * torch.finfo(dtype).eps * steps).to(dtype)
    assert len(outputs.unique()) == 6
    m = diagonalize(x, outputs, targets=targets)
    assert m["output_rank"] == 0
    assert "the outputs are constant" in m.absent["dynamical_low_rank"]
    assert m.absent["dynamical_low_rank"] == m.absent["dynamical_low_rank_centered"]
    # Control: sixteen steps are an answer.
    far = torch.tensor([7.0, 5.0, 6.0]).to(dtype) + (64 * torch.finfo(dtype).eps * steps).to(dtype)
    assert diagonalize(x, far, targets=targets)["output_rank"] == (2 if kind == "classes" else 3)


def test_layers_and_merged_ranks_keep_how_outputs_were_rounded():
    class Half(torch.nn.Module):
        """Answers in bfloat16 that differ by constants and their rounding."""

        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.body, self.one = torch.nn.Linear(4, 6), torch.nn.Linear(6, 1)

        def forward(self, x):
            return (30 * self.one(self.body(x).tanh()) + torch.tensor([0.0, 0.3, 0.7])).bfloat16()

    x, y = torch.randn(300, 4, generator=torch.Generator().manual_seed(1)), torch.arange(300) % 3
    settings = {"features": "body", "outputs": "output"}
    assert phiscope.measure(Half(), (x, y), **settings)["output_rank"] == 0
    layers = phiscope.measure_layers(Half(), (x, y), **settings)
    assert {measured["output_rank"] for measured in layers.values()} == {0}
