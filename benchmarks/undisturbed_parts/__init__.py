"""What the benchmark of undisturbed trainings is made of.

::

    settings.py    the list of settings, by key
    networks.py    small networks and data
    loops.py       settings that are a loop of plain torch
    switched.py    settings of torch with something switched on: compile, autocast, averages
    ranks.py       settings of two processes
    frameworks.py  settings in which a framework has the loop
    callbacks.py   how an observer is put into a framework's training
    watches.py     who looks on at a training: nobody, one hook, or an observer
    clumsy.py      those who disturb on purpose
    features.py    the features of a record beside those of a plain forward pass
    traces.py      everything that a training left, so that two can be compared
    rounds.py      one setting with everybody who looks on
    worker.py      one setting in a process of its own
    page.py        the page
"""
