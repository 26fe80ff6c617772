"""The command line: commands, options, exit codes, and what they print."""

from phiscope.cli.main import run_command as run_command
