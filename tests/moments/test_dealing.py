"""Samples are dealt to shards evenly, the same however they come in batches, and groups of rows as wholes."""

from itertools import pairwise

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import phiscope
from phiscope.errors import MissingNumberError
from phiscope.moments import row_table
from phiscope.moments.dealing import Dealer, GroupDeal
from phiscope.moments.shards import FEWEST_SHARDS

RNG = np.random.default_rng(4)
N, P, G = 600, 5, 60
GROUPS = RNG.integers(0, G, N)
LABELS = RNG.integers(0, 3, N)
# Rows of one group are alike, so that dealing them one by one makes intervals too short.
FEATURES = RNG.normal(size=(G, P))[GROUPS] * [3, 2, 1, 1, 1] + 0.2 * RNG.normal(size=(N, P)) + LABELS[:, None]
WEIGHTS = np.where(RNG.uniform(size=N) < 0.1, 0, RNG.uniform(0.5, 2, N))
READ = ("participation_ratio", "participation_ratio_centered", "nc1_bounded", "readout_r2", "effective_dimension")


def everything(measured):
    """All numbers and the intervals of some."""
    return measured.to_dict() | {f"{name} {end}": x for name in READ for end, x in enumerate(measured.interval(name))}


def same(found, expected, rel=1e-9):
    assert everything(found) == pytest.approx(everything(expected), rel=rel, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=6), st.integers(2, 20))
def test_batches_do_not_matter_and_shards_are_even(lengths, n_shards):
    n = sum(lengths)
    whole = Dealer(n_shards).rows(n)
    dealer = Dealer(n_shards)
    np.testing.assert_array_equal(np.concatenate([dealer.rows(length) for length in lengths]), whole)
    counts = np.bincount(whole, minlength=n_shards)
    assert counts.max() - counts.min() <= 1


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 90), st.integers(2, 20))
def test_groups_stay_together_whatever_the_batches(data, n, n_shards):
    groups = np.array(data.draw(st.lists(st.integers(0, 12), min_size=n, max_size=n)))
    counted = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    cuts = sorted({0, n, *data.draw(st.sets(st.integers(0, n), max_size=4))})
    whole, parts = GroupDeal(groups), GroupDeal(groups)
    expected = whole.part(slice(None))(counted, n_shards)
    found = np.concatenate([parts.part(slice(a, b))(counted[a:b], n_shards) for a, b in pairwise(cuts)])
    np.testing.assert_array_equal(found[counted], expected[counted])
    names = np.unique(groups[counted])
    assert parts.n_groups == whole.n_groups == len(names)
    assert all(len(set(found[counted & (groups == name)])) == 1 for name in names)
    # Rows without weight are the same as rows that never came.
    alone = GroupDeal(groups[counted]).part(slice(None))(np.ones(counted.sum(), dtype=bool), n_shards)
    np.testing.assert_array_equal(alone, expected[counted])
    per_shard = np.bincount([expected[counted & (groups == name)][0] for name in names], minlength=n_shards)
    assert per_shard.max() - per_shard.min() <= 1


@pytest.mark.parametrize("weighted", [False, True])
def test_the_interval_is_the_jackknife_that_leaves_out_groups_by_hand(weighted):
    groups, weights = RNG.integers(0, 12, N), WEIGHTS if weighted else np.ones(N)
    m = phiscope.diagonalize(FEATURES, targets=LABELS, weights=weights, groups=groups)
    assert m.n_groups == 12
    for name in ("rankme", "target_alignment_whitened"):
        whole = phiscope.diagonalize(FEATURES, targets=LABELS, weights=weights)[name]
        kept = [np.flatnonzero(groups != g) for g in range(12)]
        left = np.array([phiscope.diagonalize(FEATURES[i], targets=LABELS[i], weights=weights[i])[name] for i in kept])
        shares = np.bincount(groups, weights) / weights.sum()
        value = 12 * whole - ((1 - shares) * left).sum()
        pseudo = whole / shares - (1 / shares - 1) * left
        error = np.sqrt(((pseudo - value) ** 2 / (1 / shares - 1)).mean())
        found = m.estimate(name)
        assert (found.value, found.error) == pytest.approx((value, error), rel=1e-6)
        assert found.freedom == 11


class PerPosition(nn.Module):
    """A head at every position of an input, so that one input gives several rows."""

    def __init__(self):
        super().__init__()
        self.mix, self.head = nn.Conv1d(3, 8, 3, padding=1), nn.Linear(8, 4)

    def features(self, x):
        return torch.relu(self.mix(x)).transpose(1, 2)

    def forward(self, x):
        return self.head(self.features(x))


@pytest.mark.parametrize("cut", [0, 1, 37, 100])
def test_arrays_with_groups_give_what_a_network_gives(cut):
    torch.manual_seed(0)
    net, x, y = PerPosition(), torch.randn(150, 3, 7), torch.randint(0, 4, (150, 7))
    batches = [(x[:cut], y[:cut]), (x[cut:], y[cut:])] if cut else [(x, y)]
    expected = phiscope.measure(net, batches)
    rows = net.features(x).reshape(-1, 8).detach()
    arrays = {"head": (net.head.weight, net.head.bias), "targets": y.reshape(-1)}
    found = phiscope.diagonalize(rows, **arrays, groups=np.repeat(np.arange(150), 7))
    # A layer rounds a batch of another length in another way.
    same(found, expected, rel=1e-4 if cut else 1e-9)
    assert found.curve_interval("eigenvalues")[0] == pytest.approx(expected.curve_interval("eigenvalues")[0], rel=1e-5)
    alone = phiscope.diagonalize(rows, **arrays)
    assert alone["participation_ratio"] == pytest.approx(expected["participation_ratio"])
    assert alone.interval("participation_ratio") != pytest.approx(expected.interval("participation_ratio"), rel=1e-3)


NAMES = np.array([f"patient {g}" for g in GROUPS])
LABELED = {
    "text": NAMES,
    "list of text": NAMES.tolist(),
    "bytes": NAMES.astype("S"),
    "objects": NAMES.astype(object),
    "tuples": [(int(g) // 2, "left" if g % 2 else "right") for g in GROUPS],
    "floats": GROUPS / 7,
    "negative": -GROUPS,
    "column": GROUPS[:, None],
    "tensor": torch.tensor(GROUPS),
    "tensors": list(torch.tensor(GROUPS)),
    "big-endian": GROUPS.astype(">i8"),
    "series": pd.Series(NAMES, index=np.arange(N)[::-1]),
    "categories": pd.Series(NAMES, dtype="category"),
    "dates": np.datetime64("2020-01-01") + GROUPS,
    "zarr": zarr.array(GROUPS, chunks=(50,)),
    "dask": da.from_array(GROUPS, chunks=70),
}


@pytest.mark.parametrize("groups", LABELED.values(), ids=LABELED)
def test_any_names_give_the_same(groups):
    expected = phiscope.diagonalize(FEATURES, targets=LABELS, groups=GROUPS)
    found = phiscope.diagonalize(FEATURES, targets=LABELS, groups=groups)
    assert found.n_groups == expected.n_groups == len(set(GROUPS))
    if isinstance(groups, da.Array):  # chunks are added up in another order
        assert found["nc1_bounded"] == pytest.approx(expected["nc1_bounded"])
    else:
        assert everything(found) == everything(expected)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_rows_that_are_read_in_pieces_give_the_same(tmp_path, monkeypatch, weights):
    monkeypatch.setattr(row_table, "BLOCK_ROWS", (64, 64))
    given = {"targets": LABELS, "weights": weights, "groups": NAMES}
    expected = phiscope.diagonalize(FEATURES, **given)
    np.save(tmp_path / "f.npy", FEATURES)
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    stored = zarr.array(FEATURES, chunks=(90, P))
    for features in (mapped, stored, torch.tensor(FEATURES)):
        same(phiscope.diagonalize(features, **given), expected)
    other = dict(given, groups=np.random.default_rng(0).permutation(NAMES))
    assert everything(phiscope.diagonalize(mapped, **other)) != pytest.approx(everything(expected), rel=1e-3)


@pytest.mark.parametrize("chunks", [600, 90, 7])
def test_dask_chunks_give_the_same(chunks):
    """Without weights to the last digits: shards are dealt before the chunks, as they are in one array."""
    features = da.from_array(FEATURES, chunks=(chunks, -1))
    expected = phiscope.diagonalize(FEATURES, targets=LABELS, groups=NAMES)
    found = phiscope.diagonalize(features, targets=LABELS, groups=NAMES)
    same(found, expected, rel=1e-7)
    assert found.n_groups == expected.n_groups
    weighted = phiscope.diagonalize(features, targets=LABELS, groups=NAMES, weights=WEIGHTS)
    assert weighted.n_samples == (WEIGHTS > 0).sum()
    low, high = weighted.interval("participation_ratio")
    other = phiscope.diagonalize(FEATURES, targets=LABELS, groups=NAMES, weights=WEIGHTS)
    assert (low, high) == pytest.approx(other.interval("participation_ratio"), rel=0.3)


def test_intervals_are_as_wide_as_groups_and_not_as_rows():
    """Every row five times says nothing new: with its copies as a group, the interval is that of the rows once."""
    copies = np.repeat(np.arange(N), 5)
    once = phiscope.diagonalize(FEATURES, targets=LABELS)
    grouped = phiscope.diagonalize(FEATURES[copies], targets=LABELS[copies], groups=copies)
    for name in READ:
        assert grouped.estimate(name).error == pytest.approx(once.estimate(name).error, rel=1e-6)
    alone = phiscope.diagonalize(FEATURES[copies], targets=LABELS[copies])
    assert alone.estimate("nc1_bounded").error < 0.7 * once.estimate("nc1_bounded").error


@pytest.mark.parametrize("n_groups", [1, 2, FEWEST_SHARDS - 1])
def test_few_groups_give_no_interval(n_groups):
    m = phiscope.diagonalize(FEATURES, targets=LABELS, groups=np.arange(N) % n_groups)
    for ask in (
        lambda: m.interval("nc1_bounded"),
        lambda: m.interval("rankme"),
        lambda: m.curve_interval("eigenvalues"),
    ):
        with pytest.raises(MissingNumberError, match=f"at least 8 groups of rows, and {n_groups} came"):
            ask()
    enough = phiscope.diagonalize(FEATURES, targets=LABELS, groups=np.arange(N) % FEWEST_SHARDS)
    assert enough.interval("nc1_bounded")[0] < enough.interval("nc1_bounded")[1]


@pytest.mark.parametrize("n_inputs", [2, 4, FEWEST_SHARDS - 1])
def test_positions_of_few_inputs_give_no_interval_and_the_sentence_says_why(n_inputs):
    """It said that eight features make shards large, and offered an argument that `measure` does not have."""
    torch.manual_seed(0)
    inputs, labels = torch.randn(n_inputs, 3, 40), torch.randint(0, 4, (n_inputs, 40))
    m = phiscope.measure(PerPosition(), (inputs, labels))
    with pytest.raises(MissingNumberError, match=f"rows of at least 8 inputs, and those of {n_inputs} came"):
        m.interval("used_variance")


def test_other_numbers_are_the_same_without_groups():
    for more in ({"k": 2}, {"intervals": False}, {"precision": "fast"}):
        found = phiscope.diagonalize(FEATURES, targets=LABELS, groups=GROUPS, **more)
        expected = phiscope.diagonalize(FEATURES, targets=LABELS, **more)
        plain = [name for name in expected.to_dict() if "corrected" not in name and "held_out" not in name]
        assert [found[name] for name in plain] == pytest.approx([expected[name] for name in plain])
