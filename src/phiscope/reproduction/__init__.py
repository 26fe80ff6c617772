"""The paper's experiments and what became of its claims.

::

    settings.py      the settings of one training, and the file name they give
    samples.py       its samples: loaded, then changed as the settings say
    training.py      settings in, outcome out
    probing.py       the numbers measured on the way
    outcome.py       what one training left, as one small file
    engine.py        trainings that are missing, side by side, resumed after a kill
    family.py        conditions of one experiment, and their outcomes
    families/        the nine experiments of the paper, a ladder from elsewhere, pruning and distortion
    claims.py        verdicts and their thresholds
    summary.py       tables and verdicts as plain data
    discoveries/     what the paper does not say, numbered, and the figures behind each
    text.py          terminal and Markdown
    pictures.py      one picture a family
    page.py          page, Markdown with its pictures, and JSON as files
    run.py           all of it: run what is missing, judge the claims
    options.py       the options of `phiscope reproduce`
    command.py       the command
"""
