"""What a file says of a measurement is checked; each damage is one sentence that names the file."""

import numpy as np
import pytest

import phiscope
from phiscope.errors import RunFormatError
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
