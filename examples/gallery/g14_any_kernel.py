"""
What does a kernel know?
========================

Every number of the features' kernel can be had of any kernel: here of a Gaussian one on raw pixels, before any
learning, for two widths of the bell. The picture says which eigenfunction of the narrow one tells which class.
"""

from sklearn.datasets import load_digits
from sklearn.metrics.pairwise import rbf_kernel

import phiscope

images, classes = load_digits(return_X_y=True)
images, classes = images[:500] / 16, classes[:500]
for gamma in (0.01, 0.1):
    m = phiscope.diagonalize_kernel(rbf_kernel(images, gamma=gamma), targets=classes)
    held = m.centered.cumulative_quality
    print(f"gamma {gamma}: D_eff {m['effective_dimension_centered']:.1f}, {100 * held[19]:.0f} % of the classes in 20")
figure = m.figure("classes")
