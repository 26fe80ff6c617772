"""The paper's experiments run again, and its claims set beside what comes out.

::

    settings.py   the settings of one training, and the file name they give
    samples.py    its samples: loaded, then changed as the settings say
    training.py   settings in, outcome out
    probing.py    the numbers measured on the way
    outcome.py    what one training left, as one small file
    engine.py     trainings that are missing, side by side, resumed after a kill
    family.py     conditions of one experiment, and their outcomes
    claims.py     verdicts and their thresholds
    families/     the nine experiments as configuration
    summary.py    tables and verdicts as plain data
    findings.py, observations.py   what the paper does not say
    text.py, pictures.py, page.py   terminal, Markdown, pictures, page
    run.py        all of it; command.py, options.py: from the command line
"""
