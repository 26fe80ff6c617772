"""When to measure during a training, and who writes the run.

::

    schedule.py   when to measure: every epoch, every k-th, at named epochs, at logarithmic distance
    observer.py   `Observer`: measures a probe set and appends to a run
    settings.py   the settings of observers, checked before anything is measured or written
    probes.py     the probe data of an observer by split, and what a run that goes on knows of them
    passive.py    `PassiveObserver`: measures the training's own batches in their own forward passes
    recording.py  what both share: cost, header, late words, checkpoints, how a training ended
    desk.py       where records are finished and written, at once or on a thread; what becomes of a failure
    ranks.py      which ranks take part, and which one writes
    listeners.py  what hears of a record once it is stored: trackers and alerts
    alerts.py     `Alert`: a limit for a number, and what led there when it was passed
    replaying.py  `replay`: a run from the saved checkpoints of a training
    checkpoints.py  which checkpoints there are, and their order
    weights.py    what lies in a checkpoint, and how it fits a network
    gallery.py    the fixed samples on which eigenfunctions are shown
    looks.py      what a record keeps of them on request: gradients, the network on its leading functions alone
    decoding.py   samples and classes as text
"""

from __future__ import annotations

from phiscope.observe.alerts import Alert
from phiscope.observe.observer import Observer
from phiscope.observe.passive import PassiveObserver
from phiscope.observe.recording import ObserverCost
from phiscope.observe.replaying import replay
from phiscope.observe.schedule import Schedule, schedule

__all__ = ["Alert", "Observer", "ObserverCost", "PassiveObserver", "Schedule", "replay", "schedule"]
