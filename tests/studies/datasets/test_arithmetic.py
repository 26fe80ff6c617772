"""Tables of modular arithmetic: exact against the definition, cut by seed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import phiscope
from phiscope.errors import InputError, UnknownNameError
from phiscope.studies.architectures import build_network
from phiscope.studies.datasets.arithmetic import modular_table
from phiscope.studies.datasets.bundled import AdditionSettings

PRIMES = [2, 3, 5, 7, 11, 13, 97]


def whole(table):
    return torch.cat([table.train_x, table.test_x]), torch.cat([table.train_y, table.test_y])


@pytest.mark.parametrize("p", [4, 7, 97])
@pytest.mark.parametrize("operation", ["addition", "subtraction"])
def test_sums_and_differences_are_exact(operation, p):
    rows, classes = whole(modular_table(operation, p))
    pairs = set()
    for (a, b, end), answer in zip(rows.tolist(), classes.tolist(), strict=True):
        assert end == p
        assert (a + b if operation == "addition" else a - b) % p == answer
        pairs.add((a, b))
    assert pairs == {(a, b) for a in range(p) for b in range(p)}
    assert len(rows) == p * p


@pytest.mark.parametrize("p", PRIMES[2:])
def test_a_quotient_times_b_is_a(p):
    rows, classes = whole(modular_table("division", p))
    a, b = rows[:, 0], rows[:, 1]
    assert torch.equal(classes * b % p, a)
    assert {tuple(pair) for pair in rows[:, :2].tolist()} == {(a, b) for a in range(p) for b in range(1, p)}
    # the control: dividing whole numbers is something else
    assert not torch.equal(a // b % p, classes)


@settings(max_examples=30, deadline=None)
@given(
    operation=st.sampled_from(["addition", "subtraction", "division"]),
    p=st.sampled_from(PRIMES[2:-1]),
    share=st.floats(0.2, 0.8),
    seed=st.integers(0, 1000),
)
def test_the_cut_is_a_partition_of_the_stated_share(operation, p, share, seed):
    table = modular_table(operation, p, share, seed)
    rows, _ = whole(table)
    assert len(rows.unique(dim=0)) == len(rows) == p * (p - (operation == "division"))
    assert abs(len(table.train_x) - share * len(rows)) <= 0.5
    assert str(len(table.train_x)) in table.source
    assert (table.vocabulary, table.num_classes, table.input_shape) == (p + 1, p, (3, p + 1))


def test_the_seed_decides_the_cut_and_addition_is_the_studys():
    first, again, other = (modular_table("addition", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.train_x, again.train_x)
    assert not torch.equal(first.train_x, other.train_x)
    study = AdditionSettings().load(3)
    assert torch.equal(first.train_x, study.train.inputs)
    assert torch.equal(first.test_y, study.test.targets)


def test_the_caller_s_random_state_stays():
    before = torch.get_rng_state()
    modular_table("division")
    assert torch.equal(before, torch.get_rng_state())


def test_a_transformer_takes_the_rows():
    table = modular_table("subtraction", 11)
    network = build_network("transformer", input_shape=table.input_shape, num_outputs=table.num_classes, width=0.25)
    assert phiscope.measure(network, (table.train_x, table.train_y)).n_outputs == 11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("division", 91), "division needs a prime modulus.*got modulus=91"),
        (("addition", 1), "modulus=1"),
        (("addition", 9.5), "a modulus is a whole number, 2 or more, got modulus=9.5"),
        (("addition", 97, "half"), "train_share='half'"),
        (("addition", 97, 0.5, 0.5), "a seed is a whole number .* got 0.5"),
        (("addition", 97, 0.0), "train_share=0.0"),
        (("addition", 97, 1.0), "train_share=1.0"),
        (("addition", 97, float("nan")), "train_share=nan"),
        (("addition", 97, 0.00001), "two of the 9409 pairs"),
        (("addition", 97, 0.5, -1), "got -1"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, message):
    with pytest.raises(InputError, match=message):
        modular_table(*arguments)


def test_an_unknown_operation_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean division"):
        modular_table("divide")
