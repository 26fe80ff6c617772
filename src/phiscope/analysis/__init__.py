"""Questions to finished eigenfunctions: another map, another time, toward classes, the leading ones alone."""
