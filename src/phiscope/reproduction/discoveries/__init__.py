"""What the trainings show that the paper does not say.

::

    numbered.py      the findings in their order, each one sentence
    observation.py   figures behind one finding, and whether they show it
    grokking.py      of family d: tolerance, split, path, operation
    richness.py      of families e, f, h, i: codes, shuffled labels, regression, test samples
    laziness.py      of families a, g, j: comparators, the readout, layers, the ladder
"""
