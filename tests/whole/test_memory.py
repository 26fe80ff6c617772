"""What a measurement may hold in memory: never n x n with many samples, never p x p with few, never a second copy."""

import tracemalloc

import numpy as np
import pytest
import torch

from phiscope import diagonalize
from phiscope.cli.main import run_command
from phiscope.errors import InputError, NonFiniteError
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.shards import Streams


def everything_said(features, **options):
    """A measurement after all that is computed late was read."""
    m = diagonalize(features, intervals=True, **options)
    str(m)
    for name in m.to_dict():
        if name in m.estimates:
            m.interval(name)
    (
        m.held_out_quality(),
        m.quality_excess(),
        m.curve_interval("cumulative_quality"),
        m.interval("within_class_variance"),
    )
    m.eigenfunctions(features[:2])
    return m


def test_nothing_is_p_by_p_with_fewer_samples_than_features():
    """Corrected numbers, intervals and held-out curves too: not one p x p array."""
    rng = np.random.default_rng(0)
    n, p = 24, 9000
    # Of so few samples of equally strong features the correction would leave nothing that is known.
    features, targets = rng.normal(size=(n, p)) * np.arange(1, p + 1) ** -0.6, np.arange(n) % 4
    tracemalloc.start()
    m = everything_said(features, targets=targets, head=(rng.normal(size=(4, p)), None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "dynamical_low_rank_corrected" in m.to_dict()
    assert peak < p * p * 8 / 3


def peak_of(call):
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_nothing_is_n_by_n_with_more_samples_than_features():
    rng = np.random.default_rng(0)
    n, p = 6000, 8
    features, targets = rng.normal(size=(n, p)), np.arange(n) % 4
    head = rng.normal(size=(4, p)), None
    assert peak_of(lambda: everything_said(features, targets=targets, head=head)) < n * n * 8 / 10


def test_memory_does_not_grow_with_the_number_of_samples():
    batch, targets = np.random.default_rng(0).normal(size=(1000, 32)).astype(np.float32), np.arange(1000) % 5

    def streamed(n_batches):
        accumulator = MomentAccumulator()
        for _ in range(n_batches):
            accumulator.update(batch, targets=targets)
        accumulator.finish()

    assert peak_of(lambda: streamed(300)) < 1.1 * peak_of(lambda: streamed(30))


@pytest.mark.parametrize("k", [None, 3])
def test_bfloat16_rows_are_widened_block_by_block(k):
    """NumPy has no bfloat16; widening all rows at once would take twice their memory beside them."""
    rows = torch.randn(400_000, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    targets = torch.arange(400_000) % 3
    found = []
    grown = peak_of(lambda: found.append(diagonalize(rows, targets=targets, k=k)))
    assert grown < rows.numel() * 4
    expected = diagonalize(rows.double(), targets=targets, k=k)
    np.testing.assert_allclose(found[0].centered.eigenvalues, expected.centered.eigenvalues, rtol=1e-12)
    assert found[0]["nc1"] == pytest.approx(expected["nc1"], rel=1e-11)
    assert found[0].provenance["source"] == expected.provenance["source"]


def test_a_bad_bfloat16_row_is_named():
    rows = torch.ones(100_000, 3, dtype=torch.bfloat16)
    rows[77_777, 1] = torch.nan
    with pytest.raises(NonFiniteError, match="rows 65536 to 99999"):
        diagonalize(rows)


def test_columns_whose_square_is_beyond_memory_are_one_sentence(monkeypatch, tmp_path, capsys):
    """A language-model head's outputs instead of the head itself; the command ends with 2 and no traceback."""

    def no_memory(*_):
        raise MemoryError("Unable to allocate 18.7 GiB")

    monkeypatch.setattr(Streams, "add", no_memory)
    with pytest.raises(InputError, match=r"C = 3 outputs .*5 x 5 numbers.*18.7 GiB.*pass the head \(W, b\) instead"):
        diagonalize(np.ones((9, 2)), outputs=np.ones((9, 3)))
    monkeypatch.undo()
    monkeypatch.setattr("phiscope.measurement.assemble.diagonalize_with_mean", no_memory)
    np.save(tmp_path / "f.npy", np.eye(4))
    assert run_command(["measure", "--features", str(tmp_path / "f.npy")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("phiscope: memory ran out (Unable to allocate 18.7 GiB); ")
    assert told.count("\n") == 1
