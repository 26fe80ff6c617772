"""What every feature map gives: rows, checked to be finite, and the same answer when it is called on inputs."""

import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import NonFiniteError
from phiscope.network import FeatureMap
from phiscope.network.rows import Rows, at_batch, check_finite


def rows(**more):
    return Rows(
        features=torch.zeros(4, 3), leading=(4,), precision=torch.float32, **{"weight": None, "bias": None} | more
    )


def test_the_number_of_outputs_is_the_heads_or_that_of_measured_outputs():
    assert rows().n_outputs is None
    assert rows(weight=torch.zeros(5, 3)).n_outputs == 5
    assert rows(outputs=torch.zeros(4, 7)).n_outputs == 7


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_named_by_their_batch(value):
    check_finite(torch.zeros(3, 2), 0)
    words = r"of batch 6 hold NaN or Inf \(first in sample 1\), .*; drop rows that hold NaN if the inputs do, else the"
    with pytest.raises(NonFiniteError, match=words) as caught:
        check_finite(torch.tensor([[0.0, 1.0], [0.0, value], [value, value]]), 6)
    assert caught.value.batch == 6
    assert at_batch(None) == "of this batch"


def test_a_feature_map_of_either_kind_is_called_on_inputs():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Dropout(), nn.Linear(3, 2))
    x = torch.randn(6, 4)
    feature_map, _ = phiscope.split(net, x)
    assert isinstance(feature_map, FeatureMap)
    assert torch.equal(feature_map(x), net[:2](x))
    assert net.training
    with pytest.raises(TypeError, match="abstract"):
        FeatureMap(model=net)
