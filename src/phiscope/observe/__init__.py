"""Watching a training: when to measure, and the observer that measures and writes the run."""

from __future__ import annotations

from phiscope.observe.observer import Observer
from phiscope.observe.passive import PassiveObserver
from phiscope.observe.recording import ObserverCost
from phiscope.observe.schedule import Schedule, schedule

__all__ = ["Observer", "ObserverCost", "PassiveObserver", "Schedule", "schedule"]
