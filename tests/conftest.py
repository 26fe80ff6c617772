"""For all tests."""

import signal

# A shell that starts a command with "&" lets it ignore Ctrl-C, and its children with it: tests that send one would wait
# for ever. Whoever runs the tests in the background means the tests, not that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
