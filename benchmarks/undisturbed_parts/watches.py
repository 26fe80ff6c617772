"""Who looks on at a training: nobody, somebody with one hook of torch, or an observer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from undisturbed_parts.features import Reading, SpiedPasses, heard_inputs, rows_of, snapshot
from undisturbed_parts.traces import digest, modes_of, modules_of, random_states


@dataclass(kw_only=True, eq=False)
class Scene:
    """What a setting hands to whoever looks on.

    Attributes:
        model: the network as a user would hand it to an observer, wrappers included.
        network: inside the wrappers.
        make: gives a fresh network of the same kind, for the plain forward pass.
        head: dotted name of the head in the network.
        probe: what an observer measures.
        loader: the training's batches.
        example: a batch, for the passive observer.
        more: further data that the observer measures, by name.
        measured: the network that an observer measures where it is not the trained one: a running average of it.
        merges: processes that train together also measure together.
        call: calls a fresh network on a raw batch.
    """

    model: nn.Module
    network: nn.Module
    make: Callable[[], nn.Module]
    head: str
    probe: Any
    loader: Any
    example: Any
    more: dict[str, Any]
    measured: nn.Module | None = None
    merges: bool = False
    call: Callable[[nn.Module, Any], Any] = lambda model, raw: model(raw[0])

    @property
    def layer(self) -> nn.Module:
        """The head."""
        return modules_of(self.network)[self.head]


class Watch:
    """Nobody looks on; what the comparison needs is noted, as it is beside everybody else.

    Args:
        folder: where an observer writes its run.
    """

    name = "nobody"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.batches: list[str] = []
        self.losses: list[str] = []
        self.moments: list[dict[str, str]] = []
        self.refusal: str | None = None
        self.idle = False
        self.readings: list[Reading] = []
        self._scene: Scene | None = None

    @property
    def scene(self) -> Scene:
        """Of the training that began."""
        if self._scene is None:
            raise RuntimeError("the training has not begun")
        return self._scene

    def begin(self, scene: Scene) -> None:
        """The training begins."""
        self._scene = scene
        # Of several processes that do not measure together the first one measures.
        self.idle = dist.is_initialized() and dist.get_rank() > 0 and not scene.merges
        self._begin(scene)
        self._note()

    @contextmanager
    def batch(self, raw: Any) -> Iterator[None]:
        """Around a forward pass of the training."""
        self.batches.append(digest(raw))
        with self._around(raw):
            yield

    def lost(self, loss: Any) -> None:
        """The loss of a step."""
        self.losses.append(digest(loss.detach() if isinstance(loss, Tensor) else float(loss)))

    def record(self, epoch: float) -> None:
        """A moment at which an observer records."""
        self._record(epoch)
        self._note()

    def close(self) -> None:
        """The training is over."""
        self._close()

    def let_go(self) -> None:
        """Keep nothing of the training."""
        self._scene = None

    def tidy(self) -> None:
        """Take back what somebody clumsy left, after it was caught; the next training in this process needs order."""

    def _note(self) -> None:
        generators = {"loader": getattr(self.scene.loader, "generator", None)}
        self.moments.append({**random_states(generators), **modes_of(self.scene.network)})

    def _begin(self, scene: Scene) -> None: ...

    def _around(self, raw: Any) -> AbstractContextManager[Any]:
        return nullcontext()

    def _record(self, epoch: float) -> None: ...

    def _close(self) -> None: ...


class OwnHook(Watch):
    """One hook of torch at the head, written here: gives the features that the passive observer has to have."""

    name = "one hook"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._heard: list[Tensor] = []

    def _around(self, raw: Any) -> AbstractContextManager[Any]:
        return heard_inputs(self.scene.layer, self._heard)

    def _record(self, epoch: float) -> None:
        if self._heard:
            self.readings.append(Reading(features=rows_of(self._heard), eigenvalues=None))
            self._heard.clear()


class _Recording(Watch):
    """What both observers share: a refusal is noted, and the training goes on without."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.observer: Any = None
        self._measured: list[tuple[NDArray[Any], Any]] = []
        self._spy = SpiedPasses()

    def _begin(self, scene: Scene) -> None:
        from phiscope.errors import PhiscopeError

        try:
            self.observer = self._made(scene)
        except PhiscopeError as error:
            self.refusal = str(error)

    def _record(self, epoch: float) -> None:
        if self.observer is None or not self._due():
            return
        with self._spy:
            measured = self.observer.record(epoch=epoch, train_loss=0.5)
        features = self._spy.taken()
        if measured is not None and features is not None:
            self._measured.append((features, measured))

    def _close(self) -> None:
        if self.observer is not None:
            self.observer.close()
        # Spectra are computed when they are read; not before the observer's own thread is done with them.
        for features, measured in self._measured:
            self.readings.append(Reading(features=features, eigenvalues=measured.centered.eigenvalues))
        self._measured.clear()

    def let_go(self) -> None:
        super().let_go()
        self.observer = None
        self._spy.clear()

    def _made(self, scene: Scene) -> Any:
        raise NotImplementedError

    def _due(self) -> bool:
        return True


class Observing(_Recording):
    """`phiscope.Observer`."""

    name = "Observer"
    background = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.snapshots: list[dict[str, Tensor]] = []
        self.plain: list[Reading] = []

    def _made(self, scene: Scene) -> Any:
        import phiscope

        ranks: Any = "merge" if scene.merges else "auto"
        probe = {"probe": scene.probe, **scene.more}
        model = scene.model if scene.measured is None else scene.measured
        # "epoch" would leave out the records in the middle of one.
        every = [half / 2 for half in range(100)]
        return phiscope.Observer(model, probe, run=self.folder, every=every, background=self.background, ranks=ranks)

    def _due(self) -> bool:
        scene = self.scene
        if self.idle:
            return True
        # Numbers only: the plain forward pass is made when the training is over, by a fresh network that has them.
        self.snapshots.append(snapshot(scene.network if scene.measured is None else scene.measured))
        return True


class Background(Observing):
    """`phiscope.Observer(background=True)`."""

    name = "background"
    background = True


class Passive(_Recording):
    """`phiscope.PassiveObserver`."""

    name = "Passive"

    def _due(self) -> bool:
        # Ranks that merge refuse a record without a batch; before the first one there is none.
        return bool(self.batches) or not self.scene.merges

    def _made(self, scene: Scene) -> Any:
        import phiscope

        ranks: Any = "merge" if scene.merges else "auto"
        return phiscope.PassiveObserver(scene.model, scene.example, run=self.folder, ranks=ranks)

    @contextmanager
    def _around(self, raw: Any) -> Iterator[None]:
        if self.observer is None:
            yield
            return
        with self._spy, self.observer.batch(raw):
            yield


OBSERVERS: tuple[type[_Recording], ...] = (Observing, Background, Passive)
