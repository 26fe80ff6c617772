"""What to do with a diagnosis: score units, remove them, shorten the head, from moments that are measured already.

::

    material.py  covariance, targets and outgoing weights of units, from a measurement
    scores.py    `score_units`: how much each unit says about targets or outputs, and in which order to remove them
    greedy.py    the exact order of removal, one unit at a time
    importance.py  `as_importance`: the scores for Torch-Pruning, and `importance_scores` for torch.nn.utils.prune
    units.py     `remove_units`: a smaller network, with what the rest can take over
    cutting.py   a copy of a network with units cut out of its layers, and the check that nothing else changed
    compensation.py  what the layer that reads units takes over from those that go
    curves.py    `cut_curves`: what is left over how many units are kept, for every rule
    costs.py     what an intervention costs, sample by sample, with intervals
    damage.py    `damage`: what the network loses without eigenfeatures
    samples.py   the samples that a network is judged on, read as measurements read them
    trials.py    outputs of a network under an intervention, at the head's input or at any layer
    editing.py   a layer's output with its features changed, wherever they were read from
    distortion.py  `FeatureDistortion`: a module that distorts feature maps in training
    heads.py     `compress_head`: the head as two smaller layers

Source: arXiv:2005.13796 (discriminant information), arXiv:2002.11022 (distortion); each function says what is
phiscope's own.
"""

from __future__ import annotations

from phiscope.surgery.curves import CutCurves, cut_curves
from phiscope.surgery.damage import Damage, damage
from phiscope.surgery.distortion import FeatureDistortion
from phiscope.surgery.heads import CompressedHead, compress_head
from phiscope.surgery.importance import as_importance, importance_scores
from phiscope.surgery.scores import UnitScores, score_units
from phiscope.surgery.units import SmallerNetwork, remove_units

__all__ = [
    "CompressedHead",
    "CutCurves",
    "Damage",
    "FeatureDistortion",
    "SmallerNetwork",
    "UnitScores",
    "as_importance",
    "compress_head",
    "cut_curves",
    "damage",
    "importance_scores",
    "remove_units",
    "score_units",
]
