"""The suites by which others judge, asked of phiscope, and where others' numbers differ from the definition.

::

    facts.py        what has to hold, what was measured, and what was left out with the reason
    exact.py        features whose numbers are known exactly
    alignment.py    similarity-repository, and the CKA packages of the index
    shapes.py       netrep
    invariances.py  repsim and resi: what a similarity is invariant to, and what it is not
    groups.py       resi's benchmark: networks trained on shuffled labels, told apart
    ranks.py        stable-pretraining and MONAI
    collapse.py     neural-collapse and traintools
    kernels.py      neural-tangents
    hard.py         data that are hard to measure
    suites.py       all of them in the order of the page
    cases/          where others' numbers differ, one small script a case
    page.py         the page
"""
