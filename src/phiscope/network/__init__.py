"""A network as forward feature map and head; owns the hooks and removes them.

::

    isolation.py      run a network and leave no trace: modes, buffers, random states
    reading.py        one raw batch as the model takes it, and its targets
    linear_layers.py  which layers are linear, their weights as one (C, p) matrix
    listening.py      hooks on linear layers during one pass, and their removal
    layout.py         how a head's output becomes the model's output
    head.py           the head itself, W and b
    head_search.py    the last linear layer whose output is the model's output
    head_check.py     does the head of the features give the output, within rounding
    feature_map.py    `split`, the feature map and the head
    overhearing.py    features of a forward pass that the caller runs
    initial.py        features under earlier parameters, run once for a fixed probe
"""

from __future__ import annotations

from phiscope.network.feature_map import FeatureMap, Rows, Split, split, split_on
from phiscope.network.head import Head

__all__ = ["FeatureMap", "Head", "Rows", "Split", "split", "split_on"]
