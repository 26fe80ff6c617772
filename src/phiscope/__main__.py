"""``python -m phiscope`` and the ``phiscope`` command."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line on ``sys.argv`` and return its exit code."""
    from phiscope.cli.main import run_command

    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
