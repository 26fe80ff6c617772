"""For all tests."""

import os
import signal

# Keras reads it once, when it is first imported, and phiscope measures torch networks.
os.environ.setdefault("KERAS_BACKEND", "torch")

# A shell that starts a command with "&" lets it ignore Ctrl-C, and its children with it: tests that send one would wait
# for ever. Whoever runs the tests in the background means the tests, not that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
