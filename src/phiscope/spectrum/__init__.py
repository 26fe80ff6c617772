"""Moments become eigenfunctions: both spectra, the spans of outputs and targets, clusters.

::

    eigensystem.py         the feature operator: eigenvalues first, coordinates next, eigenvectors when read
    spectrum.py            both spectra with quality, utilization and their curves
    spans.py               outputs and targets as spans of functions on the probe
    output_coordinates.py  outputs in fewer or other coordinates: logit differences, a head of many outputs
    clusters.py            nearly equal eigenvalues, inside which single eigenfunctions are not determined
    lazy.py                values computed when they are first read, such as eigenvectors
    wide.py                which solver finds the leading eigenpairs of wide features
"""
