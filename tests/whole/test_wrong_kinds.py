"""What comes in another's place is named in one sentence, whichever name it came to."""

import pytest
import torch
from torch import nn

import phiscope
from phiscope import surgery, theory
from phiscope.analysis.rotation import rotate_to_classes
from phiscope.errors import InputError

NET = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
X, Y = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
HEAD = (NET[2].weight, NET[2].bias)


@pytest.mark.parametrize(
    "call",
    [
        lambda wrong: surgery.compress_head(wrong, HEAD, 1),
        lambda wrong: surgery.damage(NET, (X, Y), wrong),
        lambda wrong: surgery.score_units(wrong),
        lambda wrong: surgery.cut_curves(wrong, HEAD, (X, Y)),
        lambda wrong: surgery.FeatureDistortion(mode="eigen", measurement=wrong),
        lambda wrong: rotate_to_classes(wrong),
    ],
)
@pytest.mark.parametrize("wrong", [NET, (X, Y), "m"])
def test_no_measurement(call, wrong):
    with pytest.raises(InputError, match=f"measurement is a {type(wrong).__name__}; expected a Measurement"):
        call(wrong)


@pytest.mark.parametrize(
    "call",
    [
        lambda wrong: surgery.damage(wrong, (X, Y), phiscope.measure(NET, (X, Y))),
        lambda wrong: surgery.remove_units(wrong, (X, Y), keep=2),
        lambda wrong: theory.criticality(wrong),
        lambda wrong: theory.kernel_report(wrong, X, Y),
    ],
)
def test_no_network(call):
    with pytest.raises(InputError, match=r"model is a str; expected a torch\.nn\.Module"):
        call("erf")


def test_a_whole_array_is_not_printed_where_a_number_was_expected():
    with pytest.raises(InputError) as caught:
        theory.nngp(X, depth=X)
    assert str(caught.value) == "depth is a Tensor of shape (40, 4), expected a whole number of at least 1"
