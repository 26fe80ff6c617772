"""How an observer is put into the training of a framework; the one place to change when phiscope brings its own.

Each function gives a callback that tells a watch when the training begins, when a record is due, and nothing else;
`heard` goes around the forward pass of a training step, where the passive observer listens.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from undisturbed_parts.watches import Scene, Watch

MIDDLE = 2
"""The batch of an epoch after whose backward pass there is a record."""


def heard(watch: Watch, batch: Any) -> AbstractContextManager[None]:
    """Around the forward pass of a step."""
    return watch.batch(batch)


def lightning_callback(watch: Watch, scene: Scene) -> Any:
    """For `lightning.Trainer(callbacks=[...])`."""
    from lightning.pytorch import Callback

    class Looking(Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            watch.begin(scene)
            watch.record(0)

        def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
            if trainer.fit_loop.epoch_loop.batch_idx == MIDDLE:
                watch.record(trainer.current_epoch + 0.5)

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            watch.record(trainer.current_epoch + 1)

    return Looking()


def trainer_callback(watch: Watch, scene: Scene, steps_an_epoch: int) -> Any:
    """For `transformers.Trainer(callbacks=[...])`."""
    from transformers import TrainerCallback

    class Looking(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            watch.begin(scene)
            watch.record(0)

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step % steps_an_epoch == MIDDLE:
                watch.record(state.global_step // steps_an_epoch + 0.5)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            watch.record(round(state.epoch))

    return Looking()


def accelerate_backward(accelerator: Any) -> Callable[[Any], None]:
    """What a loop with accelerate calls instead of `loss.backward()`; the loop tells the watch itself."""
    return lambda loss: accelerator.backward(loss)


def keras_callback(watch: Watch, scene: Scene) -> Any:
    """For `model.fit(callbacks=[...])`; Keras has no moment between gradients and the optimizer's step."""
    import keras

    class Looking(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            self.epoch = 0
            watch.begin(scene)
            watch.record(0)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            watch.lost((logs or {}).get("loss", 0.0))
            if batch == MIDDLE:
                watch.record(self.epoch + 0.5)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch + 1
            watch.record(self.epoch)

    return Looking()
