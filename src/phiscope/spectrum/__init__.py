"""Moments become eigenfunctions: both spectra, the spans of outputs and targets, clusters."""
