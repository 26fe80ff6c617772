"""Probe data by split, and what a run that goes on knows."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from phiscope.errors import InputError
from phiscope.observe.probes import initial_words, named_splits
from phiscope.observe.ranks import SilentWriter

X, Y = torch.randn(8, 3), torch.arange(8) % 2


def test_one_data_set_is_called_probe_and_a_mapping_gives_names():
    assert list(named_splits((X, Y))) == ["probe"]
    assert list(named_splits({"train": (X, Y), "test": (X, Y)})) == ["train", "test"]


@pytest.mark.parametrize(
    "key", ["labels", "input_ids", "pixel_values", "attention_mask", "inputs_embeds", "input_values"]
)
def test_a_mapping_of_model_inputs_is_one_data_set(key):
    assert list(named_splits({key: X, "other": Y})) == ["probe"]


@pytest.mark.parametrize("key", ["y", "label", "labels", "target", "targets"])
def test_arrays_with_their_targets_are_one_data_set(key):
    assert list(named_splits({"x": X, key: Y})) == ["probe"]
    assert list(named_splits({"x": X.numpy(), key: Y.numpy()})) == ["probe"]


def test_names_of_targets_are_names_of_splits_where_they_are_no_targets():
    assert list(named_splits({"source": X, "target": X.clone()})) == ["source", "target"]
    assert list(named_splits({"source": (X, Y), "target": (X, Y)})) == ["source", "target"]
    assert list(named_splits({"source": X, "target": X[:5]})) == ["source", "target"]
    assert list(named_splits({"target": (X, Y)})) == ["target"]
    assert list(named_splits({"y": X})) == ["y"]


def test_a_generator_is_kept_to_be_read_again():
    (kept,) = named_splits((X, Y) for _ in range(2)).values()
    assert [len(x) for x, _ in kept] == [8, 8]
    assert [len(x) for x, _ in kept] == [8, 8]


@pytest.mark.parametrize("data", [{}, {1: (X, Y)}, {"train": (X, Y), 2: (X, Y)}])
def test_keys_that_are_no_names_are_refused(data):
    with pytest.raises(InputError, match="need split names as keys"):
        named_splits(data)


def test_an_array_of_targets_belongs_to_one_data_set_in_order():
    named_splits(X, Y)
    with pytest.raises(InputError, match="targets is an array beside 2 data sets"):
        named_splits({"train": X, "test": X}, Y)
    named_splits({"train": X, "test": X}, lambda batch: Y)
    with pytest.raises(InputError, match="RandomSampler"):
        named_splits(DataLoader(TensorDataset(X), shuffle=True), Y)


def test_a_rank_that_does_not_write_knows_no_words():
    assert initial_words(SilentWriter()) == {}
