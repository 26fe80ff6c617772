"""Bad input: the right class of error, one sentence that says what came and what was expected, nothing else leaks."""

import json
import re

import numpy as np
import pytest
import scipy.sparse
import torch
from safetensors.numpy import save_file
from torch import nn

from phiscope import (
    Alert,
    Measurement,
    Observer,
    compare,
    diagonalize,
    input_gradients,
    measure,
    measure_layers,
    open_run,
    report,
    restrict,
    split,
    surgery,
    theory,
)
from phiscope.analysis.rotation import rotate_to_classes
from phiscope.errors import (
    EmptyDataError,
    InputError,
    MissingNumberError,
    NonFiniteError,
    PhiscopeError,
    ReachError,
    RunFormatError,
    ShapeError,
    TargetError,
    UnknownNameError,
)
from phiscope.moments.accumulator import MomentAccumulator

g = np.random.default_rng(0)
X = g.normal(size=(30, 4))
Y = np.arange(30) % 3
W = g.normal(size=(3, 4))
HEAD = (W, np.zeros(3))


def put(array, value, at=(7, 1)):
    array = np.array(array, dtype=float)
    array[at[: array.ndim]] = value
    return array


class FailingArray:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("out of cheese")


class NoArray:
    def __array__(self, dtype=None, copy=None):
        return [1]


class FailingDLPack:
    def __dlpack__(self, **options):
        raise BufferError("out of cheese")

    def __dlpack_device__(self):
        return (1, 0)


# what is wrong: (arguments, error, words that have to be in the sentence)
BAD = {
    # values
    "NaN in features": ({"features": put(X, np.nan)}, NonFiniteError, "features hold NaN or Inf in batch 0 .sample 7"),
    "Inf in features": ({"features": put(X, np.inf)}, NonFiniteError, "features hold NaN or Inf in batch 0"),
    "-Inf in features": ({"features": put(X, -np.inf)}, NonFiniteError, "features hold NaN or Inf"),
    "Inf and -Inf": ({"features": put(put(X, np.inf), -np.inf, (8, 1))}, NonFiniteError, "sample 7"),
    "NaN in half precision": ({"features": torch.as_tensor(put(X, np.nan)).half()}, NonFiniteError, "features"),
    "NaN in bfloat16": ({"features": torch.as_tensor(put(X, np.nan)).bfloat16()}, NonFiniteError, "features"),
    "float16 overflow": ({"features": torch.as_tensor(put(X, 1e6)).half()}, NonFiniteError, "features"),
    "NaN in outputs": ({"features": X, "outputs": put(X, np.nan)}, NonFiniteError, "outputs hold NaN"),
    "NaN in targets": ({"features": X, "targets": put(X[:, 0], np.nan)}, NonFiniteError, "targets hold NaN"),
    "NaN in weights": ({"features": X, "weights": put(np.ones(30), np.nan)}, NonFiniteError, "weights hold NaN"),
    "Inf in weights": ({"features": X, "weights": put(np.ones(30), np.inf)}, NonFiniteError, "weights hold NaN"),
    "NaN in head": ({"features": X, "head": (put(W, np.nan, (1, 1)), None)}, InputError, "head holds NaN"),
    "NaN in bias": ({"features": X, "head": (W, put(np.zeros(3), np.nan, (1,)))}, InputError, "head holds NaN"),
    "features too large": ({"features": X * 1e100}, ReachError, "features reach .*e.100.*rescale"),
    "features too small": ({"features": X * 1e-100}, ReachError, "features reach .*e-100.*rescale"),
    "features far too small": ({"features": X * 1e-300}, ReachError, "features reach .*rescale"),
    "outputs too large": ({"features": X, "outputs": X * 1e200}, ReachError, "outputs reach"),
    "targets too large": ({"features": X, "targets": X * 1e300}, ReachError, "targets reach"),
    "targets too small": ({"features": X, "targets": X * 1e-300}, ReachError, "targets reach"),
    "head too large": ({"features": X, "head": (W * 1e200, None)}, ReachError, "head's numbers reach"),
    "head too small": ({"features": X, "head": (W * 1e-200, None)}, ReachError, "head's numbers reach"),
    "long doubles": ({"features": X.astype(np.longdouble) * np.longdouble("1e4000")}, NonFiniteError, "NaN or Inf"),
    # amounts
    "no samples": ({"features": X[:0]}, EmptyDataError, "0 samples.*expected at least 2"),
    "no samples, float targets": ({"features": X[:0], "targets": np.zeros(0)}, EmptyDataError, "0 samples"),
    "no samples, classes": ({"features": X[:0], "targets": Y[:0], "head": HEAD}, EmptyDataError, "0 samples"),
    "one sample": ({"features": X[:1]}, EmptyDataError, "1 sample .*expected at least 2"),
    "all weights zero": ({"features": X, "weights": np.zeros(30)}, EmptyDataError, "0 samples.*positive weight"),
    "one positive weight": ({"features": X, "weights": np.eye(30)[3]}, EmptyDataError, "1 sample"),
    "empty list": ({"features": []}, ShapeError, r"shape \(0,\), expected \(n, p\)"),
    "no columns": ({"features": np.zeros((5, 0))}, ShapeError, "p >= 1 columns"),
    "no output columns": ({"features": X, "outputs": X[:, :0]}, ShapeError, "C >= 1 columns"),
    "no target columns": ({"features": X, "targets": X[:, :0]}, TargetError, r"\(30, 0\)"),
    "head without outputs": ({"features": X, "head": (W[:0], None)}, ShapeError, "C >= 1"),
    # lengths and shapes
    "fewer targets": ({"features": X, "targets": Y[:-1]}, ShapeError, "30 samples but targets have 29"),
    "fewer outputs": ({"features": X, "outputs": X[1:]}, ShapeError, "30 samples but outputs have 29"),
    "fewer weights": ({"features": X, "weights": np.ones(3)}, ShapeError, "30 samples but weights have 3"),
    "no weights at all": ({"features": X, "weights": []}, ShapeError, "30 samples but weights have 0"),
    "one-dimensional features": ({"features": X[:, 0]}, ShapeError, r"\(30,\), expected \(n, p\)"),
    "three-dimensional features": ({"features": X[None]}, ShapeError, r"\(1, 30, 4\), expected \(n, p\)"),
    "scalar features": ({"features": 3.0}, ShapeError, r"expected \(n, p\)"),
    "one-dimensional outputs": ({"features": X, "outputs": X[:, 0]}, ShapeError, r"expected \(n, C\)"),
    "three-dimensional outputs": ({"features": X, "outputs": X[None]}, ShapeError, r"expected \(n, C\)"),
    "three-dimensional targets": ({"features": X, "targets": X[..., None]}, TargetError, r"\(n, c\)"),
    "scalar target": ({"features": X, "targets": 1}, TargetError, r"\(n,\)"),
    "scalar float target": ({"features": X, "targets": 1.5}, TargetError, r"\(n,\)"),
    "scalar weight": ({"features": X, "weights": 1.0}, ShapeError, r"weights have shape \(\)"),
    "weights as a column": ({"features": X, "weights": np.ones((30, 1))}, ShapeError, r"weights have shape \(30, 1\)"),
    "head of other width": ({"features": X, "head": (W[:, :2], None)}, ShapeError, r"\(3, 2\).*p = 4"),
    "transposed head": ({"features": X, "head": (W.T, None)}, ShapeError, "transpose"),
    "head vector": ({"features": X, "head": (W[0], None)}, ShapeError, r"expected \(C, p\)"),
    "wrong bias": ({"features": X, "head": (W, np.zeros(4))}, ShapeError, r"\(4,\), expected \(C,\) with C = 3"),
    "scalar bias": ({"features": X, "head": (W, 1.0)}, ShapeError, r"expected \(C,\)"),
    "outputs of other width": ({"features": X, "outputs": X, "head": HEAD}, ShapeError, "C = 4 .* 3 rows"),
    # types
    "complex": ({"features": X + 1j}, InputError, "complex128, expected real"),
    "complex tensor": ({"features": torch.ones(4, 3, dtype=torch.cfloat)}, InputError, "complex64, expected real"),
    "complex targets": ({"features": X, "targets": Y * 1j}, InputError, "targets has dtype complex128"),
    "objects": ({"features": X.astype(object)}, InputError, "object, expected real"),
    "None": ({"features": None}, InputError, "features"),
    "text": ({"features": "abc"}, InputError, "expected real"),
    "rows of text": ({"features": [["a", "b"]]}, InputError, "expected real"),
    "numbers as text": ({"features": X.astype(str)}, InputError, "expected real"),
    "dates": ({"features": np.zeros((3, 2), "M8[s]")}, InputError, "datetime64"),
    "records": ({"features": np.zeros(3, dtype=[("a", float)])}, InputError, "expected real"),
    "ragged rows": ({"features": [[1.0, 2.0], [3.0]]}, InputError, "list.*rectangular"),
    "ragged tensors": ({"features": [torch.ones(3), torch.ones(2)]}, InputError, "list.*rectangular"),
    "tensor inside a row": ({"features": [[1.0, torch.ones(2)], [2.0, 3.0]]}, InputError, "list.*rectangular"),
    "a mapping": ({"features": {"a": X}}, InputError, "features"),
    "a set": ({"features": {1.0, 2.0}}, InputError, "features"),
    "a generator": ({"features": (row for row in X)}, InputError, "features"),
    "sparse tensor": ({"features": torch.eye(4).to_sparse()}, InputError, "Tensor.*dense"),
    "sparse matrix": ({"features": scipy.sparse.csr_array(X)}, InputError, "features"),
    "meta tensor": ({"features": torch.empty(4, 3, device="meta")}, InputError, "meta"),
    "masked array": ({"features": np.ma.masked_array(X, X > 1)}, InputError, "masked"),
    "__array__ that fails": ({"features": FailingArray()}, InputError, "FailingArray.*out of cheese"),
    "__array__ that is none": ({"features": NoArray()}, InputError, "NoArray"),
    "DLPack that fails": ({"features": FailingDLPack()}, InputError, "FailingDLPack.*out of cheese"),
    "text weights": ({"features": X, "weights": ["a"] * 30}, InputError, "weights has dtype"),
    "head is a matrix": ({"features": X, "head": W}, InputError, r"ndarray, expected the pair \(W, b\)"),
    "head is a layer": ({"features": X, "head": torch.nn.Linear(4, 3)}, InputError, "Linear, expected the pair"),
    "head of three": ({"features": X, "head": (W, None, 1)}, InputError, "expected the pair"),
    "head of None": ({"features": X, "head": (None, None)}, InputError, "head weight"),
    # targets
    "negative class": ({"features": X, "targets": Y - 1}, TargetError, "-1 to 1, expected class indices from 0"),
    "ignored labels": (
        {"features": X, "targets": np.where(Y == 0, -100, Y)},
        TargetError,
        "drop these rows, those where",
    ),
    "class out of range": ({"features": X, "targets": Y, "num_classes": 2}, TargetError, "0 to 2.*num_classes = 2"),
    "class beyond the head": ({"features": X, "targets": Y + 1, "head": HEAD}, TargetError, "1 to 3.*num_classes = 3"),
    "years as classes": ({"features": X, "targets": Y + 10**9}, TargetError, "pass floats if they are values"),
    "huge class": ({"features": X, "targets": Y + 10**15}, TargetError, "pass floats if they are values"),
    "unsigned overflow": (
        {"features": X, "targets": Y.astype(np.uint64) + 2**63},
        TargetError,
        "expected class indices",
    ),
    "integer one-hot": ({"features": X, "targets": np.eye(3, dtype=int)[Y]}, TargetError, r"argmax\(1\)"),
    "text classes": ({"features": X, "targets": ["cat"] * 30}, InputError, "targets has dtype"),
    "missing classes": ({"features": X, "targets": [None] * 30}, InputError, "targets has dtype object"),
    "float classes": (
        {"features": X, "targets": Y * 1.0, "num_classes": 3},
        TargetError,
        "float targets.*pass integers",
    ),
    # weights
    "negative weights": ({"features": X, "weights": -np.ones(30)}, InputError, "run from -1 to -1"),
    "one negative weight": ({"features": X, "weights": put(np.ones(30), -1e-9)}, InputError, "run from -1e-09 to 1"),
    "tiny weights": ({"features": X, "weights": np.full(30, 1e-200)}, InputError, "only their ratios matter"),
    "weights far apart": ({"features": X, "weights": put(np.ones(30), 1e-40)}, InputError, "a ratio beyond 1e"),
    "no features": ({"features": None}, InputError, "features are None"),
    "no features, narrow outputs": (
        {"features": None, "outputs": torch.zeros(5, 2, dtype=torch.bfloat16)},
        InputError,
        "features are None",
    ),
    "huge weights": ({"features": X, "weights": np.full(30, 1e200)}, InputError, "only their ratios matter"),
    # settings
    **{
        f"num_classes {value!r}": ({"features": X, "targets": Y, "num_classes": value}, InputError, "num_classes is")
        for value in (0, -1, 2.5, 3.0, "3", True, [3])
    },
    **{
        f"rank_tolerance {value!r}": (
            {"features": X, "head": HEAD, "rank_tolerance": value},
            InputError,
            "rank_tolerance is .*expected 0 <= rank_tolerance < 1",
        )
        for value in (-1e-9, 1, 2.0, float("nan"), float("inf"), "1e-4", None, [1e-4], 1j)
    },
}


def assert_one_sentence(error):
    text = str(error)
    assert "\n" not in text
    assert len(text) < 400
    assert not text.endswith("."), "the command line and callers put it into their own sentence"


@pytest.mark.parametrize("case", BAD)
def test_arrays(case):
    arguments, kind, words = BAD[case]
    with pytest.raises(PhiscopeError) as caught:
        diagonalize(**arguments)
    assert type(caught.value) is kind
    assert isinstance(caught.value, ValueError)
    assert re.search(words, str(caught.value)), str(caught.value)
    assert_one_sentence(caught.value)


def test_same_arguments_without_the_mistake_are_fine():
    """Control: what every case above is derived from measures."""
    diagonalize(X, head=HEAD, targets=Y, weights=np.ones(30), num_classes=3)
    diagonalize(X, outputs=X @ W.T, head=HEAD, targets=X)
    for scale in (1e-30, 1e30):
        diagonalize(X * scale, head=(W * scale, None), targets=X * scale, weights=np.full(30, 1e90))


@pytest.mark.parametrize("kind", ["features", "outputs", "targets", "weights"])
def test_the_batch_is_named(kind):
    accumulator = MomentAccumulator()
    good = {"features": X, "outputs": X, "targets": X[:, 0], "weights": np.ones(30)}
    accumulator.update(**good)
    accumulator.update(**good)
    with pytest.raises(NonFiniteError, match=f"{kind} hold NaN or Inf in batch 2 .sample 7 of that batch") as caught:
        accumulator.update(**good | {kind: put(good[kind], np.nan)})
    assert (caught.value.where, caught.value.batch) == (kind, 2)


def test_a_refused_batch_leaves_no_trace():
    accumulator = MomentAccumulator(num_classes=3)
    accumulator.update(X, targets=Y)
    for bad in ({"features": put(X, np.nan)}, {"targets": Y + 1}, {"weights": -np.ones(30)}, {"targets": Y[1:]}):
        with pytest.raises(InputError):
            accumulator.update(**({"features": X, "targets": Y} | bad))
    moments = accumulator.result()
    assert moments.n_samples == 30
    np.testing.assert_allclose(moments.mean, X.mean(axis=0), atol=1e-15)


@pytest.mark.parametrize(
    "later",
    [
        {"features": X[:, :3]},
        {"features": X, "outputs": X},
        {"features": X, "targets": Y},
        {"features": X, "targets": X},
    ],
)
def test_batches_of_different_layout(later):
    accumulator = MomentAccumulator()
    accumulator.update(X)
    with pytest.raises(ShapeError, match=r"batch 1 has .* earlier batches had"):
        accumulator.update(**later)


def test_nothing_was_gathered():
    with pytest.raises(EmptyDataError, match="0 samples came"):
        MomentAccumulator().result()


@pytest.mark.parametrize("value", [0, -3, 1.5, "two"])
def test_shard_count(value):
    with pytest.raises(InputError, match="n_shards is"):
        MomentAccumulator(n_shards=value)


# Reading a measurement.

M = diagonalize(X, head=HEAD, targets=Y)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("rankm", "rankme"), ("effective_dimention", "effective_dimension"), ("Qualty", "quality"), ("nc33", "nc3")],
)
def test_unknown_number(name, nearest):
    with pytest.raises(UnknownNameError, match=f"no number named {name!r}") as caught:
        M[name]
    assert nearest in caught.value.nearest
    assert nearest in str(caught.value)
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize("name", ["", "zzz", 3, None, ("a",)])
def test_no_name_at_all(name):
    with pytest.raises(UnknownNameError, match="no number named"):
        M[name]


def test_missing_number_says_why():
    with pytest.raises(MissingNumberError, match="'nc1' was not measured: it needs integer targets"):
        diagonalize(X)["nc1"]
    with pytest.raises(MissingNumberError, match=r"read m\.raw\.quality or m\.centered\.quality"):
        M["quality"]
    with pytest.raises(MissingNumberError, match="neither outputs nor a head"):
        _ = diagonalize(X).output_rank


@pytest.mark.parametrize(
    ("features", "kind"),
    [
        (X[:, :2], ShapeError),
        (X[0], ShapeError),
        (X[None], ShapeError),
        ("abc", InputError),
        (X + 1j, InputError),
        (put(X, np.nan), NonFiniteError),
    ],
)
def test_eigenfunctions(features, kind):
    with pytest.raises(kind):
        M.eigenfunctions(features)


def test_class_profile():
    with pytest.raises(InputError, match="needs integer targets"):
        diagonalize(X, targets=X).class_profile()
    for k in (-1, 1.5, "all"):
        with pytest.raises(InputError, match="k is"):
            M.class_profile(k)


@pytest.mark.parametrize("level", [0, 1, -0.5, 95, float("nan")])
def test_interval_level(level):
    with pytest.raises(InputError, match=r"level is"):
        M.interval("dynamical_low_rank", level=level)


def test_interval_of_unknown_number():
    with pytest.raises(UnknownNameError, match="no number named 'dlx'"):
        M.interval("dlx")
    with pytest.raises(MissingNumberError, match="neither outputs nor a head"):
        diagonalize(X).interval("dynamical_low_rank")


# Files.


def test_saving_a_negative_number_of_eigenvectors(tmp_path):
    with pytest.raises(InputError, match="keep_eigenvectors is -1"):
        M.save(tmp_path / "m.safetensors", keep_eigenvectors=-1)
    assert list(tmp_path.iterdir()) == []


def test_loading_nothing(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(RunFormatError, match="does not exist"):
            Measurement.load(path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 400, b"hello world" * 9, b"\xff" * 64])
def test_loading_something_else(tmp_path, content):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(RunFormatError, match="cannot be read as a phiscope file"):
        Measurement.load(tmp_path / "m")


FACTS = [None, "x", "[]", "3", "null", "{}", '{"kind": "run"}', '{"kind": "measurement"}']
FACTS += [json.dumps({"kind": "measurement", "format": version}) for version in ("a", None, 1.5, 1)]


@pytest.mark.parametrize("facts", FACTS)
def test_loading_a_foreign_header(tmp_path, facts):
    save_file({"a": np.ones(2)}, tmp_path / "m", metadata=None if facts is None else {"phiscope": facts})
    with pytest.raises(RunFormatError):
        Measurement.load(tmp_path / "m")


def test_loading_a_newer_file(tmp_path):
    save_file({"a": np.ones(2)}, tmp_path / "m", metadata={"phiscope": '{"kind": "measurement", "format": 99}'})
    with pytest.raises(RunFormatError, match=r"measurement format 99, this phiscope reads up to .*; update phiscope"):
        Measurement.load(tmp_path / "m")


def test_loading_any_part_of_a_file(tmp_path):
    M.save(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    for length in [*range(0, 64, 7), *range(64, len(content), len(content) // 40)]:
        (tmp_path / "part").write_bytes(content[:length])
        with pytest.raises(RunFormatError):
            Measurement.load(tmp_path / "part")
    (tmp_path / "part").write_bytes(content)
    assert Measurement.load(tmp_path / "part").to_dict() == M.to_dict()


# What only looks like a mistake is measured, and said.


def test_float_targets_that_are_whole_numbers_are_remarked():
    for targets in (Y * 1.0, (Y * 1.0)[:, None], (Y > 0) * 1.0):
        assert [text for text in diagonalize(X, targets=targets).warnings if "pass integers" in text]
    for targets in (Y * 1.0 + 1, X[:, 0], Y * 2.0, np.eye(3)[Y] * 2, np.zeros(30), np.arange(30.0), Y):
        assert not [text for text in diagonalize(X, targets=targets).warnings if "pass integers" in text]


def test_boolean_and_column_targets_are_classes():
    assert diagonalize(X, targets=Y > 0).n_classes == 2
    assert diagonalize(X, targets=Y[:, None]).n_classes == 3


def test_more_classes_than_outputs_by_choice():
    m = diagonalize(X, head=(W[:2], None), targets=Y, num_classes=3)
    assert m.n_classes == 3
    assert "2 outputs" in m.absent["nc3"]


@pytest.mark.parametrize("tolerance", [0, 0.0, np.float32(1e-4), torch.tensor(1e-4), True - 1])
def test_tolerances_that_are_numbers(tolerance):
    m = diagonalize(X, head=HEAD, rank_tolerance=tolerance)
    assert type(m.rank_tolerance) is float


NET = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
SAMPLES = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
LAST = NET[2].weight, NET[2].bias


@pytest.mark.parametrize(
    "call",
    [
        lambda wrong: surgery.compress_head(wrong, LAST, 1),
        lambda wrong: surgery.damage(NET, SAMPLES, wrong),
        lambda wrong: surgery.score_units(wrong),
        lambda wrong: surgery.cut_curves(wrong, LAST, SAMPLES),
        lambda wrong: surgery.FeatureDistortion(mode="eigen", measurement=wrong),
        lambda wrong: rotate_to_classes(wrong),
    ],
)
@pytest.mark.parametrize("wrong", [NET, SAMPLES, "m"])
def test_what_is_no_measurement_is_named(call, wrong):
    with pytest.raises(InputError, match=f"measurement is a {type(wrong).__name__}; expected a Measurement"):
        call(wrong)


@pytest.mark.parametrize(
    "call",
    [
        lambda wrong: surgery.damage(wrong, SAMPLES, measure(NET, SAMPLES)),
        lambda wrong: surgery.remove_units(wrong, SAMPLES, keep=2),
        lambda wrong: theory.criticality(wrong),
        lambda wrong: theory.kernel_report(wrong, *SAMPLES),
    ],
)
def test_what_is_no_network_is_named(call):
    with pytest.raises(InputError, match=r"model is a str; expected a torch\.nn\.Module"):
        call("erf")


def test_a_whole_array_is_not_printed_where_a_number_was_expected():
    with pytest.raises(InputError) as caught:
        theory.nngp(SAMPLES[0], depth=SAMPLES[0])
    assert str(caught.value) == "depth is a Tensor of shape (40, 4), expected a whole number of at least 1"


# Settings and names. What is wrong is given to every call that takes it, and each says so in one sentence.

NETWORK = measure(NET, SAMPLES)
PHI = NET[:2](SAMPLES[0]).detach().numpy().astype(float)
FUNCTIONS = NETWORK.eigenfunctions(PHI)

FLAGS = {
    "compare": ("centered", lambda **given: compare(X, X, **given)),
    "restrict": ("centered", lambda **given: restrict(NETWORK, (PHI, SAMPLES[1].numpy()), LAST, **given)),
    "input_gradients": ("centered", lambda **given: input_gradients(NET, SAMPLES[0], NETWORK, **given)),
    "eigenfunctions": ("centered", lambda **given: NETWORK.eigenfunctions(PHI, **given)),
    "curve_interval": ("centered", lambda **given: NETWORK.curve_interval("quality", **given)),
    "diagonalize": ("intervals", lambda **given: diagonalize(X, **given)),
    "measure": ("padding", lambda **given: measure(NET, SAMPLES, **given)),
    "measure, progress": ("progress", lambda **given: measure(NET, SAMPLES, **given)),
    "measure_layers": ("padding", lambda **given: measure_layers(NET, SAMPLES, **given)),
    "remove_units": ("compensate", lambda **given: surgery.remove_units(NET, SAMPLES, keep=2, **given)),
    "FeatureDistortion": ("project", lambda **given: surgery.FeatureDistortion(**given)),
    **{
        f"Observer, {name}": (name, lambda **given: Observer(NET, SAMPLES, run="never", **given))
        for name in ("padding", "restricted", "resume", "corrected", "background")
    },
}


@pytest.mark.parametrize("wrong", ["no", 0.95, np.array([1, 2]), [True], 2])
@pytest.mark.parametrize("case", FLAGS)
def test_what_is_neither_true_nor_false(case, wrong):
    """Any text is true to Python: centered="no" once gave the centered numbers."""
    name, call = FLAGS[case]
    with pytest.raises(InputError, match=f"{name} is .*, expected True or False") as caught:
        call(**{name: wrong})
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("yes", [True, np.True_, 1])
def test_what_is_true_or_false(yes):
    """Control."""
    assert compare(X, X, centered=yes).centered
    assert not compare(X, X, centered=not yes).centered


def test_a_level_beside_intervals_is_refused():
    """Whoever asks for intervals=0.95 means a level, which is asked for where the interval is read."""
    for wrong in (None, "0.95", [0.95], 95, 1, 0, float("nan"), True):
        for call in (lambda level: M.interval("participation_ratio", level=level), M.curve_interval):
            with pytest.raises(InputError, match=r"level is .*, expected a coverage between 0 and 1|no curve named"):
                call(wrong)
        with pytest.raises(InputError, match=r"level is .*, expected a coverage between 0 and 1"):
            M.curve_interval("eigenvalues", level=wrong)


WORDS = {
    "precision of diagonalize": lambda word: diagonalize(X, precision=word),
    "precision of measure": lambda word: measure(NET, SAMPLES, precision=word),
    "maps": lambda word: measure(NET, SAMPLES, maps=word),
    "tokens": lambda word: measure_layers(NET, SAMPLES, tokens=word),
    "rule": lambda word: surgery.score_units(NETWORK, rule=word),
    "target": lambda word: surgery.score_units(NETWORK, target=word),
    "target of remove_units": lambda word: surgery.remove_units(NET, SAMPLES, keep=2, target=word),
    "ridge": lambda word: surgery.score_units(NETWORK, ridge=word),
    "of": lambda word: surgery.damage(NET, SAMPLES, NETWORK, of=word),
    "kind": lambda word: surgery.damage(NET, SAMPLES, NETWORK, kind=word),
    "mode": lambda word: surgery.FeatureDistortion(mode=word),
    "order": lambda word: theory.map_kernels(X[:5], X[:5, 0], width=50, order=word),
    "figure": lambda word: NETWORK.figure(word),
    "curve": lambda word: NETWORK.curve_interval(word),
    "number": lambda word: NETWORK[word],
    "interval": lambda word: NETWORK.interval(word),
    "estimate": lambda word: NETWORK.estimate(word),
    "latex_row": lambda word: NETWORK.latex_row("mine", [word]),
    "layer": lambda word: measure_layers(NET, SAMPLES)[word],
    "alert": lambda word: Alert(word, above=0.5),
    "relative_to": lambda word: Alert("srank", above=0.5, relative_to=word),
    "then": lambda word: Alert("srank", above=0.5, then=word),
}


@pytest.mark.parametrize("wrong", [["a"], {"a": 1}, np.array([1, 2]), np.array("a"), NETWORK, "nothing of the kind"])
@pytest.mark.parametrize("case", WORDS)
def test_what_is_no_word(case, wrong):
    """Lists and arrays are no words, and asking whether they are ended inside NumPy or in "unhashable type"."""
    with pytest.raises(PhiscopeError) as caught:
        WORDS[case](wrong)
    assert_one_sentence(caught.value)


COUNTS = {
    "k of compare": lambda count: compare(X, X, k=count),
    "max_features": lambda count: measure_layers(NET, SAMPLES, max_features=count),
    "seed of kernel_report": lambda count: theory.kernel_report(NET, SAMPLES[0], SAMPLES[0][:, 0], seed=count),
}


@pytest.mark.parametrize("wrong", ["3", 1.5, float("nan"), [1], True, -1, 1j, np.array([1, 2])])
@pytest.mark.parametrize("case", COUNTS)
def test_what_is_no_whole_number(case, wrong):
    with pytest.raises(InputError, match="expected a whole number") as caught:
        COUNTS[case](wrong)
    assert_one_sentence(caught.value)


PATHS = {
    "open_run": open_run,
    "report of": lambda path: report(path, "page.html"),
    "report to": lambda path: report("runs/mine", path),
    "save": M.save,
    "load": Measurement.load,
    "figure": lambda path: NETWORK.figure().save(path),
}


@pytest.mark.parametrize("wrong", [None, 3, "", "a\0b", b"runs", {"a": 1}])
@pytest.mark.parametrize("case", PATHS)
def test_what_is_no_path(case, wrong):
    with pytest.raises(PhiscopeError) as caught:
        PATHS[case](wrong)
    assert_one_sentence(caught.value)


def test_tensors_that_hold_no_numbers_or_not_all_of_them():
    x, y = SAMPLES
    nothing, few = x.to("meta"), x.to_sparse()
    for data, said in (
        ((nothing, y), "meta device"),
        ((x, y.to("meta")), "meta device"),
        ((few, y), "to_dense"),
        ((x, y.to_sparse()), "to_dense"),
        ((x[0], y[0]), "looks like one sample"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            measure(NET, data)
        assert_one_sentence(caught.value)
    for targets, said in ((y.to("meta"), "meta device"), (y.to_sparse(), "to_dense"), (len, "one target for each")):
        with pytest.raises(InputError, match=said):
            measure(NET, (x, y), targets=targets)
    for groups in (y.to("meta"), y.to_sparse()):
        with pytest.raises(InputError, match="groups came as Tensor"):
            diagonalize(x, groups=groups)


def test_numbers_of_more_or_less_than_double_precision_are_read():
    x, y = SAMPLES
    wide = x.numpy().astype(np.longdouble)
    np.testing.assert_allclose(split(NET, x)[0](wide).numpy(), PHI, rtol=1e-5, atol=1e-6)
    groups = torch.arange(40) // 2
    halves, whole = (diagonalize(x, targets=y, groups=one) for one in (groups.bfloat16(), groups))
    assert halves.interval("participation_ratio") == whole.interval("participation_ratio")


def test_kernels_of_numbers_beyond_reach_are_refused():
    """Their products overflow: NaN and Inf came out as kernels."""
    for call in (theory.nngp, lambda inputs: theory.map_kernels(inputs, X[:, 0], width=50)):
        with pytest.raises(ReachError, match="inputs reach"):
            call(X * 1e200)
    for call in (theory.scalar_renormalization, theory.map_kernels):
        with pytest.raises(ReachError, match="targets reach"):
            call(X, X[:, 0] * 1e200, width=50)


def test_features_b_are_called_so():
    with pytest.raises(ReachError, match="features_b reach"):
        compare(X, X * 1e200)
    with pytest.raises(ReachError, match="features_a reach"):
        compare(X * 1e200, X)


def test_a_row_of_a_table_reads_symbols_and_lists():
    """A list in the label's place was printed as the label, and a symbol was a dash although its number was there."""
    row = NETWORK.latex_row(names=["dynamical_low_rank", "nc1"])
    assert NETWORK.latex_row(["dynamical_low_rank", "nc1"]) == row == NETWORK.latex_row("", ["D_LR", "NC1"])
    assert "--" not in row
    assert row.startswith(" & 40 & 6 & $")
    for wrong in (3, None):
        with pytest.raises(InputError, match=r"names is .*, expected names of numbers"):
            NETWORK.latex_row(wrong)


def test_an_alert_on_a_symbol_fires(tmp_path):
    alerts = [Alert("D_LR", above=-1.0)]
    with (
        Observer(NET, SAMPLES, run=tmp_path / "run", alerts=alerts) as observer,
        pytest.warns(UserWarning, match=r"dynamical_low_rank|D_LR"),
    ):
        observer.record(epoch=0)
