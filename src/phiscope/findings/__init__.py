"""Which numbers can be said of these moments and spectra, which not and why.

::

    findings.py    what was found, and what was refused with its reason
    dimensions.py  numbers of the features alone
    outputs.py     numbers that need the network's outputs: D_LR, used variance, the regime, the random head
    targets.py     numbers that need targets: alignment and the best linear head
    collapse.py    neural collapse, for classes and for regression targets
    held_out.py    fitted on one half of the samples, judged on the other
    corrected.py   numbers of the population instead of the sample, from disjoint shards
    mean_noise.py  how much of what lies between class means is there by chance
    enough.py      whether so few samples say enough of a number for its interval
    wide.py        what the leading eigenfunctions, the trace and the norm alone can say
"""
