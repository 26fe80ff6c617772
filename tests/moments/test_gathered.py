"""What a pass brings home is the same whichever table was read, and can be measured later."""

import numpy as np
import pytest

from phiscope.distributed.dask_arrays import DaskTable
from phiscope.measurement.assemble import measurement_of
from phiscope.moments.array_table import ArrayTable
from phiscope.moments.gathered import Gathered
from phiscope.moments.row_table import RowTable

RNG = np.random.default_rng(0)
PARTS = {"features": RNG.normal(size=(300, 6)), "targets": RNG.integers(0, 3, 300), "weights": RNG.uniform(0.5, 2, 300)}


@pytest.mark.parametrize("table", [ArrayTable, RowTable, DaskTable])
def test_every_table_brings_home_the_same_moments(table):
    made = table(PARTS)
    assert (made.n_features, made.n_outputs, made.has_classes) == (6, 0, True)
    gathered = made.gather(num_classes=3)
    assert isinstance(gathered, Gathered)
    assert gathered.head is None
    assert gathered.warnings == ()
    share = PARTS["weights"] / PARTS["weights"].sum()
    mean = share @ PARTS["features"]
    centered = PARTS["features"] - mean
    np.testing.assert_allclose(gathered.moments.mean[:6], mean, atol=1e-14)
    covariance = gathered.moments.covariance("features").dense()
    np.testing.assert_allclose(covariance, (centered * share[:, None]).T @ centered, atol=1e-13)
    assert sum(shard.n_samples for shard in gathered.shards) == 300


def test_it_can_be_measured_later_and_again():
    gathered = ArrayTable(PARTS).gather(num_classes=3)
    first = measurement_of(gathered, provenance={"split": "train"})
    again = measurement_of(gathered, rank_tolerance=1e-2)
    assert first.provenance["split"] == "train"
    assert first.to_dict() == again.to_dict()
    # The control: other samples give other numbers.
    other = measurement_of(ArrayTable(PARTS | {"features": PARTS["features"] ** 2}).gather(num_classes=3))
    assert other.to_dict() != first.to_dict()
