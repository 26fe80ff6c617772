"""Samples become sums: count, means and centered scatter, their merge, their shards.

::

    moments.py         `Moments` and their merge
    labels.py          class indices that leave most classes out
    accumulator.py     the streaming pass: batches in, `Moments` out
    pilots.py          what is subtracted from rows before they are squared
    scatter.py         rows become a scatter matrix about pilot means
    device_scatter.py  the same where the features are, on a GPU
    precision.py       the precision of the products that moments are made of
    dealing.py         which shard a sample goes to, together with what was sampled together with it
    shards.py          how many random shards there are, and samples dealt to them
    togetherness.py    how many independent samples rows are worth that came together
    leaving_out.py     moments of all shards but one
    jackknife.py       bias correction and intervals from measurements without each shard
    gathered.py        what one pass brought home, before any eigendecomposition
    array_table.py     one pass over arrays in memory, here or on a device
    row_table.py       one pass over arrays that are read block by block
    wide.py            samples read again and again: products with their covariance, without a p x p array
"""
