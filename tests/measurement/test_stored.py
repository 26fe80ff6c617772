"""What a file says of a measurement is checked; each damage is one sentence that names the file."""

import numpy as np
import pytest

import phiscope
from phiscope import diagonalize
from phiscope.archive import read_arrays, write_arrays
from phiscope.errors import RunFormatError
from phiscope.measurement.record import Measurement
from phiscope.measurement.stored import check_array, evidence_from, part_from
from phiscope.metrics.regime import RegimeEvidence, decide_regime
from phiscope.moments.jackknife import Estimate


def test_evidence_survives_the_file(tmp_path):
    g = np.random.default_rng(0)
    y = g.integers(0, 4, 400)
    m = phiscope.diagonalize(np.eye(4, 30)[y] + 0.1 * g.normal(size=(400, 30)), head=(np.eye(4, 30), None), targets=y)
    m.save(tmp_path / "m.safetensors")
    loaded = phiscope.Measurement.load(tmp_path / "m.safetensors")
    assert loaded.evidence == m.evidence
    assert loaded.evidence.sentence() == m.evidence.sentence()
    assert loaded.evidence.intervals.keys() == {"used_variance", "dynamical_low_rank"}


OLD = {
    "regime": "minimal",
    "output_rank": 10,
    "k90": 9,
    "effective_dimension_centered": 6.5,
    "initial_kernel_similarity": 0.4,
}


def test_an_old_word_says_by_which_rule():
    found = evidence_from("m", OLD)
    assert found.regime == "minimal"
    assert found.sentence().startswith("minimal: by the rule of phiscope 0.1, from k90 = 9 and centered D_eff = 6.5")
    assert evidence_from("m", None) is None


def facts(**changed):
    evidence = decide_regime(
        output_rank=9, n_directions=128, k90=9, used_variance=0.9, dynamical_low_rank=0.1, cliff=9.0
    )
    return {name: getattr(evidence, name) for name in RegimeEvidence.__dataclass_fields__} | changed


@pytest.mark.parametrize(
    "changed",
    [
        {"regime": "splendid"},
        {"initial_regime": 3},
        {"k90": "nine"},
        {"cliff": float("nan")},
        {"intervals": {"used_variance": [0.1]}},
        {"intervals": {"used_variance": [0.1, "x"]}},
        {"intervals": [1, 2]},
        {"rule": 7},
        {"output_rank": 10**400},
    ],
)
def test_damaged_evidence_is_refused(changed):
    assert evidence_from("m", facts()).regime == "minimal"
    with pytest.raises(RunFormatError, match=r"^m has a RegimeEvidence .*damaged$"):
        evidence_from("m", facts(**changed))


@pytest.mark.parametrize("bad", [[], {"value": 1.0}, {"value": 1.0, "error": "x", "freedom": 3}])
def test_damaged_estimates_are_refused(bad):
    with pytest.raises(RunFormatError, match="m has a Estimate"):
        part_from("m", Estimate, bad, {})


def test_arrays_of_another_kind_are_refused():
    check_array("m", "raw.quality", np.zeros(3), (3,))
    check_array("m", "raw.quality", None, (3,))
    for bad in (np.zeros(3, dtype=np.float32), np.zeros(4), np.zeros((3, 1))):
        with pytest.raises(RunFormatError, match=r"m has raw\.quality of shape"):
            check_array("m", "raw.quality", bad, (3,))
    with pytest.raises(RunFormatError, match="lacks the array"):
        check_array("m", "feature_mean", None, (3,), needed=True)


def vocabulary(n_classes=5_000):
    g = np.random.default_rng(0)
    y = g.choice([4_999, 3, 700, 12], size=200)
    return diagonalize(g.normal(size=(200, 5)), targets=y, num_classes=n_classes, intervals=False), y


def test_of_a_vocabulary_the_classes_that_occur_are_stored(tmp_path):
    measured, y = vocabulary()
    measured.save(tmp_path / "m")
    arrays, facts = read_arrays(tmp_path / "m")
    assert arrays["class_means"].shape == (4, 5)
    assert facts["format"] == 2
    loaded = Measurement.load(tmp_path / "m")
    assert loaded.class_means.shape == (5_000, 5)
    np.testing.assert_array_equal(loaded.class_means, measured.class_means)
    np.testing.assert_array_equal(loaded.class_weights, measured.class_weights)
    assert loaded.occurring().labels.tolist() == [3, 12, 700, 4_999]
    assert loaded.class_weights[700] == np.mean(y == 700)
    np.testing.assert_allclose(
        loaded.occurring_profile(3, centered=True), measured.class_profile(3, centered=True)[[3, 12, 700, 4_999]]
    )


def test_where_most_classes_occur_the_file_is_as_it_was(tmp_path):
    measured = diagonalize(np.random.default_rng(0).normal(size=(60, 3)), targets=np.arange(60) % 4)
    measured.save(tmp_path / "m")
    arrays, facts = read_arrays(tmp_path / "m")
    assert (facts["format"], "class_labels" in arrays) == (1, False)
    assert Measurement.load(tmp_path / "m").occurring().labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "labels", [[3, 12, 700, 5_000], [3, 3, 12, 13], [3, 2, 5, 9], [-1, 2, 3, 4], [0, 1, 2, 2.5], [0, 1, 2, np.nan]]
)
def test_class_labels_that_cannot_be_are_refused(labels, tmp_path):
    measured, _ = vocabulary()
    measured.save(tmp_path / "m")
    arrays, facts = read_arrays(tmp_path / "m")
    write_arrays(tmp_path / "m", {**arrays, "class_labels": np.array(labels, dtype=float)}, facts)
    with pytest.raises(RunFormatError, match="class_labels that are no ascending classes below 5000"):
        Measurement.load(tmp_path / "m")


def test_a_file_that_would_fill_the_memory_is_refused(tmp_path):
    measured, _ = vocabulary()
    measured.save(tmp_path / "m")
    arrays, facts = read_arrays(tmp_path / "m")
    write_arrays(tmp_path / "m", arrays, {**facts, "n_classes": 2**40})
    with pytest.raises(RunFormatError, match="names 1099511627776 classes of 5 features"):
        Measurement.load(tmp_path / "m")
