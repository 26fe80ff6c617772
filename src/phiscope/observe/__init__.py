"""Watching a training: when to measure, and the observer that measures and writes the run."""

from phiscope.observe.cost import ObserverCost
from phiscope.observe.observer import Observer
from phiscope.observe.passive import PassiveObserver
from phiscope.observe.schedule import Schedule, schedule

__all__ = ["Observer", "ObserverCost", "PassiveObserver", "Schedule", "schedule"]
