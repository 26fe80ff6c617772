"""How long other threads are held up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def longest_wait(work: Callable[[], object]) -> float:
    """The longest time for which this thread could not turn while another one worked, as a share of that work."""
    done = threading.Event()
    thread = threading.Thread(target=lambda: (work(), done.set()))
    start = last = time.perf_counter()
    longest = 0.0
    thread.start()
    while not done.is_set():
        time.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    thread.join()
    return longest / (last - start)
