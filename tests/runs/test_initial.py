"""The network at its start, kept in the run: bit by bit, for this network only, and never a trap."""

import os

import pytest
import torch

from phiscope.errors import RunFormatError, RunWriteError
from phiscope.runs import initial
from phiscope.runs.initial import load_initial, save_initial


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "weight": torch.randn(3, 4, generator=generator),
        "turned": torch.randn(3, 4, generator=generator).T,
        "half": torch.randn(5, generator=generator).bfloat16(),
        "count": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "wave": torch.randn(3, dtype=torch.complex64, generator=generator),
        "nothing": torch.zeros(0, 4),
    }


def test_round_trip_to_the_bit(tmp_path, tensors):
    save_initial(tmp_path, tensors)
    back = load_initial(tmp_path, {name: torch.zeros_like(tensor) for name, tensor in tensors.items()})
    assert back is not None
    assert {name: tensor.dtype for name, tensor in back.items()} == {name: t.dtype for name, t in tensors.items()}
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())
    size = sum(tensor.nbytes for tensor in tensors.values())
    assert size < (tmp_path / "initial.safetensors").stat().st_size < size + 2000
    assert [path.name for path in tmp_path.iterdir()] == ["initial.safetensors"]


def test_a_run_without_one(tmp_path, tensors):
    assert load_initial(tmp_path, tensors) is None


def test_another_network_is_refused(tmp_path, tensors):
    save_initial(tmp_path, tensors)
    for other in (
        {name: tensor for name, tensor in tensors.items() if name != "half"},
        tensors | {"more": torch.zeros(1)},
        tensors | {"weight": torch.zeros(4, 4)},
        tensors | {"weight": torch.zeros(3, 4).double()},
    ):
        with pytest.raises(RunFormatError, match="initial state of another network"):
            load_initial(tmp_path, other)


@pytest.mark.parametrize("damage", ["cut", "empty", "sparse", "zeros"])
def test_a_damaged_one_is_one_sentence(tmp_path, tensors, damage):
    save_initial(tmp_path, tensors)
    path = tmp_path / "initial.safetensors"
    content = path.read_bytes()
    if damage == "sparse":
        os.truncate(path, 2**36)
    else:
        path.write_bytes({"cut": content[:-5], "empty": b"", "zeros": bytes(len(content))}[damage])
    with pytest.raises(RunFormatError, match=r"initial\.safetensors") as caught:
        load_initial(tmp_path, tensors)
    assert "\n" not in str(caught.value)


def test_what_no_file_can_hold_is_left_out_with_a_warning(tmp_path, tensors):
    with pytest.warns(UserWarning, match="odd is no plain tensor"):
        save_initial(tmp_path, tensors | {"odd": torch.eye(3).to_sparse()})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(tmp_path, tensors, monkeypatch):
    def full(*_, **__):
        raise initial.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(initial, "save_file", full)
    with pytest.raises(RunWriteError, match=r"initial\.safetensors cannot be written .*pass initial=None"):
        save_initial(tmp_path, tensors)
    with pytest.raises(RunWriteError):
        save_initial(tmp_path / "gone", tensors)
    assert list(tmp_path.iterdir()) == []
