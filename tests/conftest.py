"""For all tests."""

import gc
import os
import signal

# Keras reads it once, when it is first imported, and phiscope measures torch networks.
os.environ.setdefault("KERAS_BACKEND", "torch")

# A shell that starts a command with "&" lets it ignore Ctrl-C, and its children with it: tests that send one would wait
# for ever. Whoever runs the tests in the background means the tests, not that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What is imported by now stays: looking through it for garbage took a tenth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 20, 100)
