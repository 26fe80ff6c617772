"""Numbers and pictures for the trackers that people have open, through their own clients.

::

    tracker.py      what a tracker is told, and how one is made for anything else
    choice.py       trackers by name, and by what users hand in
    sending.py      one record to every tracker; one that fails costs neither the record nor the training
    pixels.py       the spectrum of a measurement as an array of pixels
    tensorboard.py  event files, by a SummaryWriter
    wandb.py        Weights & Biases, offline unless somebody wants otherwise
    mlflow.py       MLflow, by a client and the id of a run
    trackio.py      Trackio, in its local database

Scalars are called ``phiscope/SPLIT/NUMBER``; ``phiscope/epoch`` and ``phiscope/step`` say where a record stands, and
``phiscope/seconds`` what it cost. A run on disk is written whatever becomes of a tracker.
"""

from __future__ import annotations

from phiscope.trackers.choice import NAMES, chosen_trackers
from phiscope.trackers.sending import Sending, is_own
from phiscope.trackers.tracker import Place, Tracker

__all__ = ["NAMES", "Place", "Sending", "Tracker", "chosen_trackers", "is_own"]
