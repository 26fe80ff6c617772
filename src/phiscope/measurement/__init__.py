"""Everything that ends in a `Measurement`: of arrays, kernels, networks and layers.

::

    record.py          `Measurement`, one frozen record: numbers, both spectra, provenance, warnings
    class_rows.py      means and shares of the classes that occur
    stored.py          what its file says, checked before anybody computes with it
    reading.py         its scalars, their intervals, and the curves that follow from them
    bands.py           confidence bands of curves over k, made from shards, kept in files for pictures
    methods.py         what a paper has to say of a measurement: sentences, references, a row of a table
    assemble.py        from what a pass gathered to the finished record
    diagonalize.py     of arrays
    wide.py            of features too wide for their whole spectrum
    gram.py            of a kernel given as a Gram matrix
    measure.py         of a network
    network_pass.py    one pass over data: batches run, moments are kept
    ranks.py           the passes of several ranks become one
    measure_layers.py  of many layers of a network, in one pass
    layer_moments.py   one layer's moments beside the network's outputs
    layers.py          `Layers`: many layers on the same samples
"""
