"""The solvers of leading eigenfunctions: which is taken, how far it gets, and what is said when one fails."""

import re

import numpy as np
import pytest
import scipy.linalg

import phiscope
from phiscope.measurement.wide import diagonalize_leading
from phiscope.moments.row_table import RowTable
from phiscope.spectrum import wide as solvers
from phiscope.spectrum.wide import Limits

ON_SAMPLES = Limits(formed_first=0, memory=0)


@pytest.mark.parametrize("k", [1, 7, 40, 200, 500])
def test_k_beyond_the_rank_and_beyond_p(k):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((120, 7)) @ rng.standard_normal((7, 90))
    m = diagonalize_leading(RowTable({"features": x}), k, limits=ON_SAMPLES)
    full = phiscope.diagonalize(x)
    assert len(m.raw.eigenvalues) == min(k, 7)
    assert np.abs(m.raw.eigenvalues / full.raw.eigenvalues[: min(k, 7)] - 1).max() < 1e-9


def test_isotropic_features_are_no_obstacle():
    signs = scipy.linalg.hadamard(256)[:, 1:201].astype(float)
    m = diagonalize_leading(RowTable({"features": signs}), 6, limits=ON_SAMPLES)
    assert np.abs(m.raw.eigenvalues - 1).max() < 1e-9
    assert m["stable_rank_centered"] == pytest.approx(200, rel=1e-9)
    # Nothing tells six of 200 equal eigenfunctions from the others, and that is said.
    assert "not surely the leading ones" in " ".join(m.warnings)
    assert m.provenance["raw_subspace_sine_below"] == "1"
    pairs, whole = m["participation_ratio"], 200.0
    error = float(re.search(r"participation_ratio ± ([\d.e+-]+)", " ".join(m.warnings))[1])
    assert abs(pairs - whole) < 6 * error


def test_stopping_early_is_said():
    x = np.random.default_rng(5).standard_normal((400, 300))
    m = diagonalize_leading(RowTable({"features": x}), 30, limits=Limits(formed_first=0, memory=0, most_products=2))
    assert any("stopped before its tolerance" in text for text in m.warnings)
    assert float(m.provenance["raw_largest_residual_share"]) > 1e-2


def test_lapack_failing_is_said_and_the_products_stand(monkeypatch):
    def fail(*_args, **_options):
        raise scipy.linalg.LinAlgError("Internal Error")

    monkeypatch.setattr(solvers.scipy.linalg, "eigh", fail_only_subset(fail, scipy.linalg.eigh))
    x = np.random.default_rng(6).standard_normal((400, 200))
    m = diagonalize_leading(RowTable({"features": x}), 10, limits=Limits(formed_first=0, most_products=3))
    assert any("LAPACK's subset solver failed (Internal Error)" in text for text in m.warnings)
    full = np.linalg.eigvalsh(x.T @ x / 400)[::-1]
    assert (np.abs(m.raw.eigenvalues - full[:10]) <= m.raw.eigenvalue_bounds).all()


def fail_only_subset(fail, whole):
    return lambda *args, **options: (fail if options.get("driver") == "evr" else whole)(*args, **options)
