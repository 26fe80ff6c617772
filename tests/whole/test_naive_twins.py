"""Every scalar and every curve against its naive twin in sample space."""

import numpy as np
import pytest
import torch

import phiscope
import twins
from cases import CASES
from phiscope.metrics import SCALARS

EPS = np.finfo(np.float64).eps

# Both sides solve symmetric eigenproblems of size at most 60 with condition numbers up to 1e4, so each loses
# about 60 * 1e4 eps = 1e-10; wrong formulas differ in the first digits.
CLOSE = 60 * 1e4 * EPS

WITHOUT_TWIN = {
    "initial_kernel_similarity": "needs a pass over the initial network; twin in tests/metrics/test_similarity.py",
    "initial_kernel_similarity_raw": "as the centered one",
    "dynamical_low_rank_random_head": "a mean over random heads; compared below within its own error",
    "readout_r2_held_out": "random halves; compared with held-out samples below",
    **{name: "an estimate of the population; tested beside its interval" for name in SCALARS if "_corrected" in name},
}


def assert_scalars(m, s, tolerance=CLOSE):
    expected = twins.expected_scalars(s)
    for name, value in expected.items():
        assert m[name] == pytest.approx(value, rel=tolerance, abs=tolerance), name
    extra = set(m.to_dict()) - set(expected) - set(WITHOUT_TWIN)
    assert not extra, "measured without a twin"


def assert_spectra(m, s, tolerance=CLOSE):
    for centered in (False, True):
        spectrum = m.spectrum(centered=centered)
        rho = twins.spectrum(s, centered)[0]
        np.testing.assert_allclose(spectrum.eigenvalues, rho, rtol=tolerance, atol=tolerance * rho[0])


def assert_curves(m, s, tolerance=CLOSE):
    for centered in (False, True):
        for name, twin in twins.CURVES.items():
            have = getattr(m.spectrum(centered=centered), name)
            if have is not None:
                np.testing.assert_allclose(have, twin(s, centered), rtol=0, atol=tolerance, err_msg=name)


def assert_like_twin(m, s, tolerance=CLOSE):
    assert_scalars(m, s, tolerance)
    assert_spectra(m, s, tolerance)
    assert_curves(m, s, tolerance)


@pytest.mark.parametrize("case", CASES)
def test_scalars_and_curves(case):
    assert_like_twin(phiscope.diagonalize(**CASES[case]), twins.sample(**CASES[case]))


def test_cases_cover_every_scalar_and_curve():
    measured = set()
    for case in CASES.values():
        m = phiscope.diagonalize(**case)
        measured |= set(m.to_dict())
        measured |= {name for name in twins.CURVES if getattr(m.centered, name) is not None}
    assert measured >= {name for name in SCALARS if not name.startswith("initial")} | set(twins.CURVES)


@pytest.mark.parametrize("case", [name for name in CASES if "head" in CASES[name]])
def test_head_equals_its_outputs(case):
    data = dict(CASES[case])
    W, b = data.pop("head")
    outputs = data["features"] @ W.T + (0 if b is None else b)
    by_head, by_outputs = phiscope.diagonalize(**CASES[case]), phiscope.diagonalize(outputs=outputs, **data)
    for name, value in by_outputs.to_dict().items():
        # The held-out readout divides by a ridge of 1e-6: where samples repeat, its equations are of condition 1e6.
        close = 100 * CLOSE if name == "readout_r2_held_out" else CLOSE
        assert by_head[name] == pytest.approx(value, rel=close, abs=close), name
    both = phiscope.diagonalize(outputs=outputs, head=(W, b), **data)
    assert set(both.to_dict()) == set(by_head.to_dict())
    assert not [text for text in both.warnings if "not head(features)" in text]


def test_outputs_that_are_not_the_head_are_noticed():
    data = dict(CASES["n > p"])
    W, b = data["head"]
    wrong = data["features"] @ (W.T * [1, 1, 1, 1.01]) + b
    m = phiscope.diagonalize(outputs=wrong, **data)
    assert [text for text in m.warnings if "not head(features)" in text]


@pytest.mark.parametrize("wrong", ["bias", "no bias", "unrelated", "half precision"])
def test_answers_are_compared_besides_covariances(wrong):
    """Another bias, or what has nothing to do with the features, leaves the covariances as they are."""
    rng = np.random.default_rng(7)
    X, W, b = rng.normal(size=(400, 5)), rng.normal(size=(3, 5)), np.array([1.0, -2.0, 0.5])
    outputs, bias = X @ W.T + b, b
    if wrong == "unrelated":
        whole = np.column_stack([np.ones(400), X])
        noise = rng.normal(size=(400, 3))
        outputs = outputs + noise - whole @ np.linalg.lstsq(whole, noise, rcond=None)[0]
    elif wrong == "half precision":
        outputs = outputs.astype(np.float16)
    else:
        bias = None if wrong == "no bias" else b + np.array([0.0, 0.0, 1.0])
    found = [phiscope.diagonalize(X, outputs, head=(W, bias), k=k).warnings for k in (None, 2)]
    warned = [[text for text in texts if "not head(features)" in text] for texts in found]
    assert [len(texts) for texts in warned] == ([0, 0] if wrong == "half precision" else [1, 1])


@pytest.mark.parametrize("case", ["n > p", "n < p", "several targets", "C > n", "imbalance"])
def test_integer_weights_are_repeated_samples(case):
    data = dict(CASES[case])
    times = np.random.default_rng(3).integers(1, 4, len(data["features"]))
    repeated = {key: part.repeat(times, axis=0) if key in ("features", "outputs", "targets") else part
                for key, part in data.items()}  # fmt: skip
    by_weight, by_repeat = phiscope.diagonalize(**data, weights=times), phiscope.diagonalize(**repeated)
    expected = {name: value for name, value in by_repeat.to_dict().items() if name not in WITHOUT_TWIN}
    # RankMe adds 1e-7 for each of min(n, p) singular values, also for those that are zero, so it sees n itself.
    if len(data["features"]) < data["features"].shape[1]:
        assert by_weight["rankme"] == pytest.approx(expected.pop("rankme"), abs=60 * 1e-7 * np.log(1e7) * 60)
    for name, value in expected.items():
        assert by_weight[name] == pytest.approx(value, rel=CLOSE, abs=CLOSE), name
    for centered in (False, True):
        for name in ("eigenvalues", *twins.CURVES):
            have, want = (getattr(m.spectrum(centered=centered), name) for m in (by_weight, by_repeat))
            np.testing.assert_allclose(have, want, atol=CLOSE * 100, err_msg=name)


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("zero weights")])
def test_zero_weight_is_a_dropped_sample(case):
    data = CASES[case]
    kept = data["weights"] > 0
    fewer = {key: part[kept] if key in ("features", "outputs", "targets", "weights") else part
             for key, part in data.items()}  # fmt: skip
    whole, dropped = phiscope.diagonalize(**data), phiscope.diagonalize(**fewer)
    assert whole.n_samples == dropped.n_samples == kept.sum()
    # Estimates from random shards may draw other shards.
    exact = {name: value for name, value in dropped.to_dict().items() if name not in WITHOUT_TWIN}
    for name, value in exact.items():
        assert whole[name] == pytest.approx(value, rel=CLOSE, abs=CLOSE), name


@pytest.mark.parametrize("factor", [2.0**-40, 3.0, 2.0**40])
def test_only_ratios_of_weights_matter(factor):
    data = CASES["weights, n > p"]
    scaled = data | {"weights": data["weights"] * factor}
    one, other = phiscope.diagonalize(**data), phiscope.diagonalize(**scaled)
    assert one.to_dict() == pytest.approx(other.to_dict(), rel=CLOSE, abs=CLOSE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("case", ["n > p", "n < p"])
def test_precision_of_the_input_is_the_only_loss(dtype, case):
    """Half-precision rows are read exactly; all sums are float64."""
    data = CASES[case]
    tensor = torch.as_tensor(data["features"]).to(dtype)
    exact = data | {"features": tensor.to(torch.float64).numpy()}
    assert_like_twin(phiscope.diagonalize(**(data | {"features": tensor})), twins.sample(**exact))


class WithArray:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class WithDLPack:
    """Neither NumPy nor torch, only the exchange protocol."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__()

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


CONTAINERS = {
    "torch": torch.as_tensor,
    "torch with gradient": lambda a: torch.as_tensor(a).requires_grad_() if a.dtype.kind == "f" else torch.as_tensor(a),
    "list": lambda a: a.tolist(),
    "list of tensors": lambda a: list(torch.as_tensor(a)),
    "tuple of rows": tuple,
    "__array__": WithArray,
    "DLPack": WithDLPack,
    "Fortran order": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("case", ["n > p", "several targets", "weights, n > p"])
def test_container_does_not_matter(container, case):
    data, wrap = CASES[case], CONTAINERS[container]
    wrapped = {key: wrap(np.asarray(part)) if key in ("features", "outputs", "targets", "weights") else part
               for key, part in data.items()}  # fmt: skip
    if "head" in data:
        wrapped["head"] = tuple(wrap(part) for part in data["head"])
    m, reference = phiscope.diagonalize(**wrapped), phiscope.diagonalize(**data)
    # Another memory layout may reorder sums, nothing else.
    assert m.to_dict() == pytest.approx(reference.to_dict(), rel=CLOSE, abs=CLOSE)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64, np.uint64])
def test_whole_number_features(dtype):
    X = np.random.default_rng(0).integers(0, 2 if dtype is bool else 9, (40, 5)).astype(dtype)
    assert_like_twin(phiscope.diagonalize(X), twins.sample(X.astype(np.float64)))


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4"])
def test_classes_of_any_integer_type(dtype):
    data = CASES["n > p"]
    m = phiscope.diagonalize(**(data | {"targets": data["targets"].astype(dtype)}))
    assert m.to_dict() == phiscope.diagonalize(**data).to_dict()


def test_inputs_are_not_changed():
    data = {
        key: np.array(part) if isinstance(part, np.ndarray) else part for key, part in CASES["weights, n > p"].items()
    }
    before = {key: part.copy() for key, part in data.items() if isinstance(part, np.ndarray)}
    phiscope.diagonalize(**data)
    for key, part in before.items():
        np.testing.assert_array_equal(data[key], part, err_msg=key)


# Negative controls: a twin with one slip in it must not agree.


def slipped(monkeypatch, name, wrong):
    monkeypatch.setattr(twins, name, wrong)


def test_control_wrong_centering(monkeypatch):
    right = twins.scaled
    m, s = phiscope.diagonalize(**CASES["n > p"]), twins.sample(**CASES["n > p"])
    slipped(monkeypatch, "scaled", lambda s, A, centered: right(s, A, not centered))
    for check in (assert_scalars, assert_spectra, assert_curves):
        with pytest.raises(AssertionError):
            check(m, s)


def test_control_wrong_tolerance():
    case = CASES["loose tolerance"]
    with pytest.raises(AssertionError):
        assert_scalars(phiscope.diagonalize(**case), twins.sample(**(case | {"rank_tolerance": 1e-8})))


def test_control_ignored_weights():
    case = dict(CASES["weights, n > p"])
    m = phiscope.diagonalize(**case)
    del case["weights"]
    for check in (assert_scalars, assert_spectra, assert_curves):
        with pytest.raises(AssertionError):
            check(m, twins.sample(**case))


@pytest.mark.parametrize("name", [*twins.CURVES])
def test_control_each_curve(monkeypatch, name):
    m, s = phiscope.diagonalize(**CASES["n > p"]), twins.sample(**CASES["n > p"])
    right = twins.CURVES[name]
    monkeypatch.setitem(twins.CURVES, name, lambda s, centered: right(s, centered) + 1e-6 * centered)
    with pytest.raises(AssertionError, match=name):
        assert_curves(m, s)


@pytest.mark.parametrize("name", sorted(twins.expected_scalars(twins.sample(**CASES["n > p"]))))
def test_control_each_scalar(monkeypatch, name):
    m, s = phiscope.diagonalize(**CASES["n > p"]), twins.sample(**CASES["n > p"])
    right = twins.expected_scalars(s)
    monkeypatch.setattr(twins, "expected_scalars", lambda s: right | {name: right[name] * (1 + 1e-6)})
    with pytest.raises(AssertionError):
        assert_scalars(m, s)
