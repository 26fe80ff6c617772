"""Data to study: bundled, drawn, or read from files."""
