"""A layer's output with changed features: read again, they are the changed ones, and nothing else is touched."""

import numpy as np
import pytest
import torch
from torch import nn

from phiscope.errors import InputError
from phiscope.network.layer_calls import ModuleCall
from phiscope.network.layer_reading import LayerReading
from phiscope.surgery.editing import Editor


def reading(form, how, p, **settings):
    source = ModuleCall(
        name="one", module=nn.Identity(), call=1, order=0, shape=None, width=None, reads=None, **settings.pop("at", {})
    )
    return LayerReading(source=source, form=form, how=how, n_features=p, **settings)


def seeded(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


MASK = torch.tensor([[True, True, False, False], [True, True, True, True], [False, True, True, False]])
CASES = {
    "vectors": (reading("vectors", "as it is", 5), seeded(3, 5)),
    "pooled map": (reading("map", "pooled", 5, channels="first"), seeded(3, 5, 2, 4)),
    "pooled map, channels last": (reading("map", "pooled", 5, channels="last"), seeded(3, 2, 4, 5)),
    "positions of a map": (reading("map", "positions", 5, channels="first"), seeded(3, 5, 2, 4)),
    "flattened map": (reading("map", "flattened", 40, channels="first"), seeded(3, 5, 2, 4)),
    "pooled tokens": (reading("tokens", "pooled", 5), seeded(3, 4, 5)),
    "pooled tokens, masked": (reading("tokens", "pooled", 5, masked=True), seeded(3, 4, 5)),
    "positions of tokens": (reading("tokens", "positions", 5), seeded(3, 4, 5)),
    "positions of tokens, masked": (reading("tokens", "positions", 5, masked=True), seeded(3, 4, 5)),
    "first token": (reading("tokens", "first", 5), seeded(3, 4, 5)),
    "first token, masked": (reading("tokens", "first", 5, masked=True), seeded(3, 4, 5)),
    "last token": (reading("tokens", "last", 5), seeded(3, 4, 5)),
    "last token, masked": (reading("tokens", "last", 5, masked=True), seeded(3, 4, 5)),
    "time first, pooled": (reading("tokens", "pooled", 5, time_first=True), seeded(4, 3, 5)),
    "time first, last": (reading("tokens", "last", 5, time_first=True), seeded(4, 3, 5)),
    "time first, flattened": (reading("tokens", "flattened", 20, time_first=True), seeded(4, 3, 5)),
}


def read(one, tensor):
    rows = one.reduced(tensor, MASK)
    return one.rows(rows, (3,), 3, MASK)[0]


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_again_is_what_was_changed(name):
    one, tensor = CASES[name]
    before = read(one, tensor)
    added = torch.linspace(1, 2, before.numel(), dtype=torch.float64).reshape(before.shape)
    kept = tensor.clone()
    made = Editor(reading=one, mask=MASK, owner=None, change=lambda rows: added).output(tensor)
    assert made.shape == tensor.shape
    assert torch.equal(tensor, kept)
    assert read(one, made).numpy() == pytest.approx((before + added).numpy(), rel=1e-12)


def test_of_a_mean_all_positions_move_alike_and_what_varies_between_them_stays():
    one, tensor = CASES["pooled map"]
    moved = Editor(reading=one, mask=None, owner=None, change=lambda rows: -rows).output(tensor) - tensor
    assert moved.numpy() == pytest.approx(moved[:, :, :1, :1].expand(moved.shape).numpy())


@pytest.mark.parametrize("name", ["pooled tokens, masked", "positions of tokens, masked", "first token, masked"])
def test_padding_is_left_alone(name):
    one, tensor = CASES[name]
    made = Editor(reading=one, mask=MASK, owner=None, change=lambda rows: torch.ones_like(rows)).output(tensor)
    assert torch.equal(made[~MASK], tensor[~MASK])
    assert not torch.equal(made[MASK], tensor[MASK])


def test_nodes_of_graphs_move_with_their_mean():
    one, owner = reading("nodes", "pooled", 2), torch.tensor([0, 0, 1, 2, 2, 2])
    nodes = seeded(6, 2)
    means = np.stack([nodes[owner == graph].mean(0).numpy() for graph in range(3)])
    made = Editor(reading=one, mask=None, owner=owner, change=lambda rows: -rows).output(nodes)
    assert made.numpy() == pytest.approx(nodes.numpy() - means[owner.numpy()])


def test_the_tensor_goes_back_to_its_place():
    one = reading("vectors", "as it is", 5, at={"place": (1, "hidden")})
    output = ("kept", {"hidden": seeded(3, 5), "other": 7})
    made = Editor(reading=one, mask=None, owner=None, change=lambda rows: -rows).output(output)
    assert made[0] == "kept"
    assert made[1]["other"] == 7
    assert (made[1]["hidden"] == 0).all()
    assert not (output[1]["hidden"] == 0).any()
    with pytest.raises(InputError, match="returns no tensor where the first batch had one"):
        Editor(reading=one, mask=None, owner=None, change=lambda rows: -rows).output(("kept", {}))


class Answer(dict):
    pass


def test_an_answer_that_cannot_be_put_together_again_is_refused():
    one = reading("vectors", "as it is", 5, at={"place": ("hidden",)})
    with pytest.raises(InputError, match="returns an Answer, which cannot be put together again"):
        Editor(reading=one, mask=None, owner=None, change=lambda rows: -rows).output(Answer(hidden=seeded(3, 5)))


def test_half_precision_stays():
    one = reading("map", "pooled", 5, channels="first")
    tensor = seeded(3, 5, 2, 2).to(torch.bfloat16)
    made = Editor(reading=one, mask=None, owner=None, change=lambda rows: -rows.double()).output(tensor)
    assert made.dtype == torch.bfloat16
    assert made.float().mean((2, 3)).abs().max() < 0.02
