"""A measurement's file is checked before anybody computes with it."""

import json

import numpy as np
import pytest
from safetensors.numpy import save

import phiscope
from phiscope.archive import read_arrays
from phiscope.errors import RunFormatError


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    features, head = rng.normal(size=(60, 5)), (rng.normal(size=(3, 5)), None)
    phiscope.diagonalize(features, head=head, targets=np.arange(60) % 3).save(tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def changed(path, change):
    arrays, facts = read_arrays(path)
    change(arrays, facts)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    path.write_bytes(save(arrays, metadata={"phiscope": json.dumps(facts)}))


@pytest.mark.parametrize(
    ("name", "array", "match"),
    [
        ("feature_mean", None, "lacks the array feature_mean"),
        ("feature_mean", np.zeros(4), r"feature_mean of shape \(4,\).*expected \(5,\)"),
        ("feature_mean", np.zeros(5, np.float32), "dtype float32, expected"),
        ("feature_mean", np.full(5, np.nan), "means or class weights"),
        ("feature_mean", np.full(5, 1e200), "means or class weights"),
        ("class_means", np.zeros((3, 4)), r"expected \(3, 5\)"),
        ("class_means", np.full((3, 5), np.inf), "means or class weights"),
        ("class_weights", np.full(3, 2.0), "means or class weights"),
        ("class_weights", np.full(3, np.nan), "means or class weights"),
        ("target_squares", np.zeros(3), r"expected \(2,\)"),
        ("tolerance_curve", np.zeros((4, 2)), r"expected \('any', 3\)"),
        ("raw.eigenvalues", None, r"no usable raw\.eigenvalues"),
        ("raw.eigenvalues", -np.ones(5), "not positive"),
        ("raw.eigenvalues", np.full(5, np.inf), "not positive"),
        ("raw.eigenvalues", np.ones(4), "expected"),
        ("raw.quality", np.ones(3), r"raw\.quality of shape \(3,\)"),
        ("centered.eigenvectors", np.ones(5), r"no usable centered\.eigenvectors"),
        ("centered.eigenvectors", np.zeros((4, 5)), r"expected \(5, 5\)"),
        ("centered.eigenvectors", np.zeros((5, 6)), r"expected \(5, 5\)"),
        ("centered.eigenvectors", np.full((5, 5), 2.0), "no unit vectors"),
        ("centered.eigenvectors", np.full((5, 5), np.nan), "no unit vectors"),
    ],
)
def test_an_array_that_does_not_fit_is_named(path, name, array, match):
    def change(arrays, facts):
        arrays.pop(name)
        if array is not None:
            arrays[name] = array

    changed(path, change)
    with pytest.raises(RunFormatError, match=match) as caught:
        phiscope.Measurement.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("n_samples",), 0),
        (("n_samples",), True),
        (("n_features",), 5.0),
        (("n_features",), 10**400),
        (("n_classes",), -1),
        (("rank_tolerance",), "small"),
        (("warnings",), "text"),
        (("warnings",), [1]),
        (("numbers",), [1]),
        (("numbers", "rankme"), "inf"),
        (("numbers", "rankme"), None),
        (("absent", "nrc1"), 1),
        (("provenance",), None),
        (("estimates",), []),
        (("estimates", "used_variance"), 3),
        (("estimates", "used_variance", "value"), "x"),
        (("evidence",), "minimal"),
        (("evidence", "regime"), "unheard of"),
        (("evidence", "output_rank"), [1]),
        (("evidence", "output_rank"), 10**400),
    ],
)
def test_a_fact_of_another_kind_is_named(path, place, value):
    def change(arrays, facts):
        for key in place[:-1]:
            facts = facts[key]
        facts[place[-1]] = value

    changed(path, change)
    with pytest.raises(RunFormatError, match="damaged") as caught:
        phiscope.Measurement.load(path)
    assert place[0].removesuffix("s") in str(caught.value).lower()


def test_fields_that_a_later_phiscope_added_are_ignored_and_missing_ones_are_not(path):
    before = phiscope.Measurement.load(path)

    def more(arrays, facts):
        facts["evidence"]["of_later"] = "x"
        facts["estimates"]["used_variance"]["of_later"] = [1]
        facts["of_later"] = {}

    changed(path, more)
    assert phiscope.Measurement.load(path).evidence == before.evidence
    changed(path, lambda arrays, facts: facts["estimates"]["used_variance"].pop("error"))
    with pytest.raises(RunFormatError, match="Estimate without error"):
        phiscope.Measurement.load(path)


def test_a_class_that_never_occurs_may_have_no_mean(tmp_path):
    rng = np.random.default_rng(0)
    m = phiscope.diagonalize(rng.normal(size=(40, 4)), targets=np.arange(40) % 2, num_classes=3)
    m.save(tmp_path / "m.safetensors")
    assert np.isnan(phiscope.Measurement.load(tmp_path / "m.safetensors").class_means[2]).all()


def test_a_file_that_cannot_be_written_is_one_sentence(path, tmp_path):
    m = phiscope.Measurement.load(path)
    with pytest.raises(phiscope.errors.RunWriteError, match=r"gone.*cannot be written \(No such file"):
        m.save(tmp_path / "gone" / "m.safetensors")
