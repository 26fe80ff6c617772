"""A network as feature map and head; owns the hooks and leaves no trace.

::

    isolation.py      run a network and leave no trace: modes, buffers, random states
    state.py          parameters, plain attributes of modules, and generators in data sets, put back or named
    batch.py          one raw batch as the model takes it, and its targets
    samples.py        which rows of a pass count as samples, and the target of each
    linear_layers.py  which layers are linear, their weights as one (C, p) matrix
    hooks.py          hooks on linear layers during one pass, and their removal
    output_layout.py  how a head's output becomes the model's output
    head.py           the last linear layer whose output is the model's: W and b, found and checked within rounding
    rows.py           a feature map, and the rows it makes of a batch
    feature_map.py    `split`, the feature map that a head reads, and the head
    chosen_features.py  features that the caller chose: a layer's output or the model's, with outputs beside or none
    overhearing.py    features of a forward pass that the caller runs
    initial.py        features under earlier parameters, run once for a fixed probe
    layer_calls.py    which modules run in a forward pass, in which order, and what each returns
    layer_choice.py   which layers to measure: the sensible ones, or those that are asked for
    layer_plan.py     how a layer is read, decided on the first batch
    layer_reading.py  a layer's output as features, made inside its hook
"""

from __future__ import annotations

from phiscope.network.chosen_features import ChosenFeatures, FeatureChoice, feature_map_of
from phiscope.network.feature_map import HeadFeatures, Split, split, split_on
from phiscope.network.head import Head
from phiscope.network.rows import FeatureMap, Rows

__all__ = [
    "ChosenFeatures",
    "FeatureChoice",
    "FeatureMap",
    "Head",
    "HeadFeatures",
    "Rows",
    "Split",
    "feature_map_of",
    "split",
    "split_on",
]
