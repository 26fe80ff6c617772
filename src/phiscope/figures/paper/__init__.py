"""Figures for print and notebooks, by name; `draw.py` and `drawing.py` alone know matplotlib.

::

    sheets.py    the figures of single results, by name
    run_sheets.py  the figures of a run, by name
    surgery_sheets.py  what is left when fewer units are kept, and what is lost without eigenfeatures
    theory_sheets.py  kernels beside those of infinite width, and a sweep over widths
    captions.py  what is written below a figure of a paper
    animation.py a figure moving through training
    notebook.py  what a notebook shows of a result
    draw.py      sheets drawn with matplotlib, one or two columns wide
    drawing.py   matplotlib's figure, which shows itself in a notebook and writes itself for a paper
"""
