"""Values that are computed when they are first read."""

from phiscope.spectrum.lazy import LateMapping


def test_a_mapping_may_name_known_entries_again():
    mapping = LateMapping({"b": 1.0}, frozenset("ac"), lambda: {"a": 0.0, "b": 2.0, "c": 3.0})
    assert dict(mapping) == {"a": 0.0, "b": 1.0, "c": 3.0}
    assert list(mapping) == ["a", "b", "c"]
    assert LateMapping({"b": 1.0}, frozenset("a"), lambda: 1 / 0)["b"] == 1.0
