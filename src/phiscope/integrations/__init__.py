"""Observers as callbacks of the frameworks that people train with: one line, and the run is there.

::

    lightning.py     `LightningObserver`, a callback of Lightning's Trainer
    transformers.py  `TransformersObserver`, a callback of Hugging Face's Trainer
    accelerate.py    `AccelerateObserver`, for loops of one's own under accelerate
    keras.py         `KerasObserver`, a callback of Keras' fit, on its torch backend
    fit.py           what they share: one training, the observer that goes with it, and its end
    folders.py       which folder a training's run gets: trials, second fits, resumed ones
    settings.py      which of a training's settings a run may keep
    callers.py       what a framework holds and does not hand to its callbacks
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from phiscope.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from phiscope.integrations.accelerate import AccelerateObserver as AccelerateObserver
    from phiscope.integrations.keras import KerasObserver as KerasObserver
    from phiscope.integrations.lightning import LightningObserver as LightningObserver
    from phiscope.integrations.transformers import TransformersObserver as TransformersObserver

_HOMES = {
    "LightningObserver": "lightning",
    "TransformersObserver": "transformers",
    "AccelerateObserver": "accelerate",
    "KerasObserver": "keras",
}

_KERAS_BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "openvino": "OpenVINO"}
"""What Keras imports by itself, by module; the first one is its default."""

__all__ = ["AccelerateObserver", "KerasObserver", "LightningObserver", "TransformersObserver"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'phiscope.integrations' has no attribute {name!r}")
    try:
        import_module(home)
    except ModuleNotFoundError as error:
        if home == "keras" and error.name in _KERAS_BACKENDS:
            raise InputError(
                f"Keras is set to run on {_KERAS_BACKENDS[error.name]}, which is not installed, and phiscope measures "
                'torch networks; set KERAS_BACKEND=torch in the environment, or os.environ["KERAS_BACKEND"] = "torch" '
                "before anything imports keras"
            ) from error
        if error.name != home:
            # The framework is there, and something that it needs is not; its own words say what.
            raise
        raise MissingDependencyError(home, purpose=name, extra=home) from error
    return getattr(import_module(f"phiscope.integrations.{home}"), name)


def __dir__() -> list[str]:
    return list(__all__)
