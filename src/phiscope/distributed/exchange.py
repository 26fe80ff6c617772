"""What processes tell each other: sums of small arrays, and short facts.

An error on one rank becomes the same sentence on every rank, so that none waits for an answer that never comes.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from phiscope import errors
from phiscope.errors import PhiscopeError, RankError, first_line

LATE_SECONDS = 60.0
"""After so long a rank that waits for the others says so; torch's own time limit ends the wait."""

_log = logging.getLogger("phiscope")


class Exchange(Protocol):
    """A set of processes that call the same things in the same order.

    Attributes:
        rank: this one, 0 <= rank < size.
        size: number of processes.
    """

    @property
    def rank(self) -> int: ...  # noqa: D102

    @property
    def size(self) -> int: ...  # noqa: D102

    def total(self, array: NDArray[Any]) -> NDArray[Any]:
        """Sum over the ranks of an array of equal shape and dtype (float64, int64, uint8); the same on every rank."""

    def lent(self, value: Any, lender: int) -> Any:
        """Return the lender's value on every rank; tensors in it come on the CPU."""


@dataclass(frozen=True)
class ProcessGroupExchange:
    """The ranks of a torch process group.

    Attributes:
        group: None = all ranks.
    """

    group: Any = None

    @property
    def rank(self) -> int:
        """This rank within the group."""
        return dist.get_rank(self.group)

    @property
    def size(self) -> int:
        """Number of ranks in the group."""
        return dist.get_world_size(self.group)

    def total(self, array: NDArray[Any]) -> NDArray[Any]:
        """Sum over the ranks; see `Exchange`.

        Raises:
            RankError: the others did not come, or the connection broke.
        """
        tensor = torch.from_numpy(np.array(array)).to(self._device())
        with self._reported():
            dist.all_reduce(tensor, group=self.group)
        return np.asarray(tensor.cpu().numpy())

    def lent(self, value: Any, lender: int) -> Any:
        """Return the lender's value; see `Exchange`.

        Raises:
            RankError: the others did not come, or the connection broke.
        """
        box = [value]
        with self._reported():
            source = lender if self.group is None else dist.get_global_rank(self.group, lender)
            dist.broadcast_object_list(box, source, group=self.group, device=self._device())
        return box[0]

    def _device(self) -> torch.device:
        # NCCL moves what lies on the rank's own card; gloo what lies in memory.
        on_card = "nccl" in str(dist.get_backend_config(self.group)) and torch.cuda.is_available()
        return torch.device("cuda", torch.cuda.current_device()) if on_card else torch.device("cpu")

    @contextmanager
    def _reported(self) -> Iterator[None]:
        who = f"rank {self.rank} of {self.size}"
        late = threading.Timer(
            LATE_SECONDS,
            _log.warning,
            (
                f"phiscope: {who} has waited {LATE_SECONDS:g} s for the others; every rank has to make the same call "
                "when samples of all ranks are merged or the model is sharded (in a branch for one rank pass "
                "ranks='local')",
            ),
        )
        late.daemon = True
        late.start()
        try:
            yield
        except RuntimeError as error:
            reason = first_line(error)
            raise RankError(
                f"{who} could not exchange moments with the others ({reason}); every rank has to make the same call, "
                "or pass ranks='local' for the samples of one rank alone"
            ) from error
        finally:
            late.cancel()


def stacked(exchange: Exchange, array: NDArray[Any]) -> NDArray[Any]:
    """Arrays of equal shape of all ranks, rank first."""
    whole = np.zeros((exchange.size, *array.shape), array.dtype)
    whole[exchange.rank] = array
    return exchange.total(whole)


def told_by_all(exchange: Exchange, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Facts of every rank in rank order; text, numbers, None, lists and mappings, kept to the last bit."""
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    ends = np.cumsum(stacked(exchange, np.array(len(text))))
    whole = np.zeros(int(ends[-1]), np.uint8)
    whole[ends[exchange.rank] - len(text) : ends[exchange.rank]] = text
    whole = exchange.total(whole)
    return [json.loads(bytes(part).decode()) for part in np.split(whole, ends[:-1])]


def as_facts(error: Exception) -> dict[str, Any]:
    """An error as text, to be told to the other ranks."""
    ours = isinstance(error, PhiscopeError) and hasattr(errors, type(error).__name__)
    return {
        "kind": type(error).__name__,
        "text": str(error),
        "ours": ours,
        "facts": dict(vars(error)) if ours else {},
    }


def raise_first(told: Sequence[Mapping[str, Any] | None], rank: int, own: Exception | None) -> None:
    """Raise what the lowest failing rank has told; return when none has failed.

    Args:
        told: of each rank its `as_facts`, or None.
        rank: this one.
        own: this rank's own error; one that is not phiscope's is raised as it is, with its traceback.
    """
    failed = [(place, facts) for place, facts in enumerate(told) if facts is not None]
    if not failed:
        return
    if own is not None and not isinstance(own, PhiscopeError):
        raise own
    place, facts = failed[0]
    more = f" (and on {len(failed) - 1} more of the {len(told)} ranks)" if len(failed) > 1 else ""
    where = f"rank {place} of {len(told)}{more}"
    if facts["ours"]:
        raise _rebuilt(facts, f"{where}: {facts['text']}") from own
    raise RankError(f"{where} failed with {facts['kind']}: {facts['text']}") from own


def _rebuilt(facts: Mapping[str, Any], text: str) -> PhiscopeError:
    kind: type[PhiscopeError] = getattr(errors, facts["kind"])
    # Not through __init__: each class has another one, and the sentence is already made.
    error = kind.__new__(kind, text)
    error.__dict__.update(
        {name: tuple(value) if isinstance(value, list) else value for name, value in facts["facts"].items()}
    )
    return error
