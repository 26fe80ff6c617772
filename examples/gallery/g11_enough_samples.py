"""
Have I enough samples?
======================

Features of known dimension, measured on fewer and fewer samples. The plain number is biased, the corrected one is
not, and the interval says how much either is worth.
"""

import numpy as np

import phiscope

random = np.random.default_rng(0)
scales = 1.0 / np.arange(1, 101)  # standard deviations along 100 directions
variances = scales**2
print(f"truth: participation ratio {variances.sum() ** 2 / (variances**2).sum():.3f}")
for n in (10_000, 1_000, 300, 100):
    m = phiscope.diagonalize(scales * random.standard_normal((n, 100)))
    low, high = m.interval("participation_ratio_centered")
    plain, corrected = m["participation_ratio_centered"], m["participation_ratio_centered_corrected"]
    print(f"n = {n:6d}: plain {plain:.3f}, corrected {corrected:.3f}, interval {low:.2f} to {high:.2f}")
figure = m.figure()
