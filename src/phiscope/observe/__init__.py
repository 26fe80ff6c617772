"""Watching a training: when to measure, and the observer that measures and writes the run."""

from phiscope.observe.observer import Observer, ObserverCost
from phiscope.observe.schedule import Schedule, schedule

__all__ = ["Observer", "ObserverCost", "Schedule", "schedule"]
