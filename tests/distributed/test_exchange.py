"""What ranks tell each other arrives to the last bit: facts, and every error."""

import json

import pytest

from phiscope import errors
from phiscope.distributed.exchange import as_facts, raise_first, told_by_all
from thread_ranks import Threads


def test_facts_arrive_to_the_last_bit():
    facts = [{"x": 0.1 + rank, "word": "Φ" * rank, "none": None} for rank in range(3)]
    results, _ = Threads(3).run(lambda seat: told_by_all(seat, facts[seat.rank]))
    assert results == [facts] * 3


MADE = {
    "NonFiniteError": lambda kind: kind("text", where="w", batch=3),
    "UnknownNameError": lambda kind: kind("number", "a", ["aa", "b"]),
    "MissingNumberError": lambda kind: kind("a", "because"),
    "AmbiguousNameError": lambda kind: kind("Pi", {"a": "one", "b": "other"}),
    "MissingDependencyError": lambda kind: kind("dask", purpose="this", extra="dask"),
    "RunWriteError": lambda kind: kind("text", path="runs/a/header.json", reason="No space left on device"),
    "HeadError": lambda kind: kind("text", candidates=("a", "b")),
}
MADE["ReachError"] = MADE["NonFiniteError"]
MADE["NoHeadError"] = MADE["AmbiguousHeadError"] = MADE["HeadError"]


@pytest.mark.parametrize("name", [n for n, v in vars(errors).items() if isinstance(v, type) and "Error" in n])
def test_every_error_survives_the_way(name):
    kind = getattr(errors, name)
    error = MADE.get(name, lambda kind: kind("text"))(kind)
    facts = json.loads(json.dumps(as_facts(error)))
    with pytest.raises(kind) as caught:
        raise_first([facts, None], 1, None)
    assert type(caught.value) is kind
    assert str(caught.value) == f"rank 0 of 2: {error}"
    assert vars(caught.value) == vars(error)
