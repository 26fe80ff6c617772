"""A measurement leaves no trace; and the test that says so notices each kind of trace."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import phiscope
from phiscope.network.isolation import isolated, placement, unwrapped
from untouched import untouched


class Restless(nn.Module):
    """Uses and changes everything a forward pass can change."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 5, max_norm=0.5)
        self.norm = nn.BatchNorm1d(5)
        self.fc = nn.Linear(5, 3)
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("running", torch.zeros(1))
        self.fail_with = None

    def forward(self, x):
        self.count += 1
        self.running = self.running + 1
        torch.rand(1), random.random(), np.random.rand()
        if self.fail_with is not None:
            # A new one each time, as networks raise them: what is said beside it is no state of the network.
            raise type(self.fail_with)(*self.fail_with.args)
        return self.fc(self.norm(self.embed(x)))


@pytest.fixture
def restless():
    torch.manual_seed(0)
    net = Restless()
    net.train()
    net.norm.eval()  # one part frozen: the root's mode alone would not bring it back
    net.fc.bias.requires_grad_(False)
    return net


@pytest.fixture
def words():
    return torch.randint(7, (30,), generator=torch.Generator().manual_seed(1))


def calls(net, x):
    """Every public call that runs a network."""
    y = torch.arange(30) % 3
    feature_map, _ = phiscope.split(net, x)
    return {
        "split": lambda: phiscope.split(net, x),
        "feature map": lambda: feature_map(x),
        "measure": lambda: phiscope.measure(net, (x, y)),
        "measure with a loader": lambda: phiscope.measure(
            net, DataLoader(TensorDataset(x, y), batch_size=7, shuffle=True)
        ),
    }


@pytest.mark.parametrize("name", ["split", "feature map", "measure", "measure with a loader"])
def test_every_public_call_leaves_no_trace(restless, words, name):
    call = calls(restless, words)[name]
    with untouched(restless):
        call()


@pytest.mark.parametrize("name", ["split", "feature map", "measure", "measure with a loader"])
@pytest.mark.parametrize("error", [RuntimeError("broken model"), KeyboardInterrupt()])
def test_no_trace_after_an_exception_or_control_c(restless, words, name, error):
    call = calls(restless, words)[name]
    restless.fail_with = error
    with untouched(restless), pytest.raises(type(error)):
        call()


def test_no_trace_when_the_data_fail_half_way(restless, words):
    def broken():
        yield words[:10]
        torch.rand(3)
        raise KeyboardInterrupt

    with untouched(restless), pytest.raises(KeyboardInterrupt):
        phiscope.measure(restless, broken())


def test_no_trace_when_no_head_is_found():
    net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(), nn.ReLU())
    with untouched(net), pytest.raises(phiscope.errors.NoHeadError):
        phiscope.split(net, torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(
    ("trace", "told"),
    [
        (lambda net: net.fc.register_forward_hook(lambda *a: None), "hooks of fc"),
        (lambda net: net.fc.register_forward_pre_hook(lambda *a: None, with_kwargs=True), "hooks of fc"),
        (lambda net: net.norm.train(), "mode of norm"),
        (lambda net: net.eval(), "mode of "),
        (lambda net: net.count.add_(1), ".count"),
        (lambda net: setattr(net, "running", net.running.clone()), ".running"),
        (lambda net: net.fc.bias.requires_grad_(True), "fc.bias"),
        (lambda net: net.embed(torch.tensor([0, 1, 2, 3])), "embed.weight"),
        (lambda net: torch.rand(1), "torch random"),
        (lambda net: np.random.rand(), "numpy random"),
        (lambda net: random.random(), "python random"),
    ],
)
def test_control_each_trace_is_noticed(restless, trace, told):
    with pytest.raises(AssertionError, match=told.replace(".", r"\.")), untouched(restless):
        trace(restless)


def test_generators_of_a_loader_come_back():
    generator = torch.Generator().manual_seed(3)
    data = TensorDataset(torch.randn(20, 4, generator=torch.Generator().manual_seed(0)))
    loader = DataLoader(data, batch_size=5, shuffle=True, generator=generator)
    before = generator.get_state().clone()
    phiscope.measure(nn.Sequential(nn.ReLU(), nn.Linear(4, 2)), loader)
    assert torch.equal(generator.get_state(), before)
    next(iter(loader))  # control: walking through it does move the generator
    assert not torch.equal(generator.get_state(), before)


class Draws(Dataset):
    """Draws from every generator for each sample, as augmentations do."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return torch.rand(4) + random.random() + float(np.random.rand()), index % 2


@pytest.mark.parametrize("workers", [0, 2])
def test_augmentations_and_workers_do_not_move_the_random_states(workers):
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    with untouched(net):
        phiscope.measure(net, DataLoader(Draws(), batch_size=4, shuffle=True, num_workers=workers))


def test_a_loop_over_persistent_workers_is_not_rewound():
    data = TensorDataset(torch.arange(24.0).reshape(12, 2), torch.arange(12) % 2)
    loader = DataLoader(data, batch_size=3, num_workers=1, persistent_workers=True)
    net = nn.Sequential(nn.ReLU(), nn.Linear(2, 2))
    seen = []
    for index, (x, _) in enumerate(loader):
        seen.append(float(x[0, 0]))
        if index == 1:
            assert phiscope.measure(net, loader).n_samples == 12
    assert seen == [0.0, 6.0, 12.0, 18.0]


def test_inside_is_eval_without_gradient_and_without_autocast(restless):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with isolated(restless):
            assert not torch.is_grad_enabled()
            assert not any(module.training for module in restless.modules())
            assert (torch.randn(2, 2) @ torch.randn(2, 2)).dtype == torch.float32
        assert (torch.randn(2, 2) @ torch.randn(2, 2)).dtype == torch.bfloat16


def test_an_overridden_train_method_is_not_called_on_the_way_back():
    class Frozen(nn.Linear):
        def train(self, mode=True):
            return super().train(False)

    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), Frozen(3, 2))
    net[2].training = True
    with untouched(net):
        phiscope.split(net, torch.ones(4, 3))


def test_wrappers_are_looked_through():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    averaged = torch.optim.swa_utils.AveragedModel(net)
    assert unwrapped(averaged) is averaged.module
    assert unwrapped(nn.DataParallel(torch.compile(net, backend="eager"))) is net
    assert unwrapped(net) is net


def test_placement_without_parameters():
    assert placement(nn.ReLU()) == (torch.device("cpu"), torch.float32)
    assert placement(nn.Linear(1, 1).half())[1] == torch.float16
