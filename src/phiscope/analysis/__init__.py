"""Questions to finished eigenfunctions: another map, another time, toward classes, the leading ones alone.

::

    comparison.py   `compare`: two feature maps, what became of each eigenfunction
    pairs.py        joint moments of two feature maps on the same samples
    tracking.py     `track`: eigenfunctions through training, by what they are
    rotation.py     eigenfunctions turned toward the classes inside clusters
    gradients.py    `input_gradients`: where in the input an eigenfunction looks
    restriction.py  `restrict`: the network on its leading eigenfunctions, and the nearest class mean
"""
