"""What a file says of a measurement is checked; each damage is one sentence that names the file."""

import json
import math

import numpy as np
import pytest

import phiscope
from phiscope.errors import RunFormatError
from phiscope.measurement.stored import check_array, checked_evidence, evidence_facts, evidence_from, part_from
from phiscope.metrics.regime import RegimeEvidence, decide_regime
from phiscope.moments.jackknife import Estimate
from phiscope.spectrum.spectrum import Spectrum


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


def test_an_old_record_without_a_word_is_damaged():
    with pytest.raises(RunFormatError, match="whose regime is None"):
        evidence_from("m", OLD | {"regime": None})


def _spectrum(count, bounds=None, following=None):
    return Spectrum(
        eigenvalues=np.arange(count, 0.0, -1.0),
        eigenvectors=np.eye(12)[:, :count],
        eigenvalue_bounds=bounds,
        following=following,
    )


def test_an_old_word_beside_a_cut_spectrum_stays_that_of_its_rule():
    """The present rule was asked with numbers that the old one did not have, and took the word away."""
    found = evidence_from("m", OLD)
    assert checked_evidence(found, _spectrum(4, np.zeros(4)), {"solver": "LAPACK"}) is found


@pytest.mark.parametrize(
    ("spectrum", "nothing"),
    [
        (_spectrum(9), True),
        (_spectrum(10), False),
        (_spectrum(4, np.zeros(4), np.ones(5)), True),
        (_spectrum(4, np.zeros(4), np.ones(6)), False),
        (_spectrum(4, np.zeros(4)), False),
    ],
)
def test_that_nothing_follows_is_read_from_the_spectrum_where_the_file_does_not_say_it(spectrum, nothing):
    older = {name: value for name, value in facts().items() if name != "nothing_follows"}
    found = checked_evidence(evidence_from("m", older), spectrum, {})
    assert found.nothing_follows == nothing
    assert ("where nothing follows" in found.sentence()) == nothing
    assert found.regime == "minimal"


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
        {"output_rank": -1},
        {"k90": 2.5},
        {"k90": True},
        {"n_leading": -3},
        {"cliff": True},
        {"nothing_follows": 1},
        {"nothing_follows": None},
        {"nothing_follows": "yes"},
    ],
)
def test_damaged_evidence_is_refused(changed):
    assert evidence_from("m", facts()).regime == "minimal"
    with pytest.raises(RunFormatError, match=r"^m has a RegimeEvidence .*damaged$"):
        evidence_from("m", facts(**changed))


@pytest.mark.parametrize("bad", [[], {"value": 1.0}, {"value": 1.0, "error": "x", "freedom": 3}])
def test_damaged_estimates_are_refused(bad):
    with pytest.raises(RunFormatError, match="m has an Estimate"):
        part_from("m", Estimate, bad, {})


def test_arrays_of_another_kind_are_refused():
    check_array("m", "raw.quality", np.zeros(3), (3,))
    check_array("m", "raw.quality", None, (3,))
    for bad in (np.zeros(3, dtype=np.float32), np.zeros(4), np.zeros((3, 1))):
        with pytest.raises(RunFormatError, match=r"m has raw\.quality of shape"):
            check_array("m", "raw.quality", bad, (3,))
    with pytest.raises(RunFormatError, match="lacks the array"):
        check_array("m", "feature_mean", None, (3,), needed=True)


def test_a_head_that_began_at_zero_survives_the_file(tmp_path):
    evidence = decide_regime(
        output_rank=2,
        n_directions=9,
        k90=2,
        used_variance=0.9,
        dynamical_low_rank=0.1,
        cliff=5.0,
        initial_kernel_similarity=1.0,
        head_change=math.inf,
    )
    facts = json.loads(json.dumps(evidence_facts(evidence), allow_nan=False))
    assert evidence_from("m", facts) == evidence
    assert evidence.sentence().startswith("coefficient: the features have not moved (S_init = 1 >= 0.99) and the head")
    assert evidence.sentence().endswith("has, from zero")
    # An older phiscope, which knows only its own fields, reads the word and a change that is not known.
    old = {name: value for name, value in facts.items() if name in vars(evidence)}
    assert (evidence_from("m", old).head_change, evidence_from("m", old).regime) == (None, "coefficient")
