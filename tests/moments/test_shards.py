"""How many random shards there are, and how rows are dealt to them."""

from phiscope.moments.shards import shards_for_all


def test_shards_share_one_memory():
    assert shards_for_all([100]) == 20
    assert shards_for_all([2048] * 4) == 8
    assert shards_for_all([2048] * 5) == 1
