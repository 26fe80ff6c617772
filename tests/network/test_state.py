"""State in plain attributes is put back, or named; hooks that lost their handle do nothing; Ctrl-C leaves no trace."""

import random
from collections import Counter, deque

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset
from transformers import BertConfig, BertForSequenceClassification

import phiscope
from phiscope.network import hooks, isolation
from phiscope.network import state as kept_state
from phiscope.network.hooks import deafened, listening
from phiscope.network.isolation import isolated, put_back
from phiscope.network.state import PlainState, generators_of
from untouched import untouched

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(60) % 3


class Meter:
    def __init__(self):
        self.total, self.parts = 0, []


class Moody(nn.Module):
    """Keeps state wherever a module can."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)
        self.calls, self.name = 0, "moody"
        self.mean, self.array = torch.zeros(8), np.zeros(3)
        self.rows, self.seen = [0], {"first": 1}
        self.kinds, self.latest, self.counts = {1}, deque([1], maxlen=2), Counter(a=1)
        self.meter = Meter()
        self.generators = (torch.Generator(), np.random.default_rng(0), np.random.RandomState(0), random.Random(0))

    def forward(self, x):
        z = torch.relu(self.a(x))
        self.calls += 1
        self.name += "!"
        self.mean.mul_(0.9).add_(z.detach().mean(0))
        self.array += 1
        self.rows.append(self.calls)
        self.rows[0] = 9
        self.seen["second"] = self.seen.pop("first", 0)
        self.kinds.add(2)
        self.latest.append(3)
        self.counts["a"] += 1
        self.meter.total += 1
        self.meter.parts.append(x.shape)
        self.cache = z
        del self.calls
        self.calls = 7
        torch.rand(1, generator=self.generators[0])
        self.generators[1].random(), self.generators[2].rand(), self.generators[3].random()
        return self.b(z)


def state(net):
    torch_generator, new, old, python = net.generators
    return (
        net.calls,
        net.name,
        net.mean.tolist(),
        net.array.tolist(),
        list(net.rows),
        dict(net.seen),
        set(net.kinds),
        list(net.latest),
        dict(net.counts),
        net.meter.total,
        list(net.meter.parts),
        hasattr(net, "cache"),
        torch_generator.get_state().tolist(),
        new.bit_generator.state,
        old.get_state()[2],
        python.getstate(),
    )


@pytest.fixture
def moody():
    torch.manual_seed(0)
    return Moody()


def test_plain_attributes_come_back(moody, tmp_path):
    before, objects = state(moody), [moody.rows, moody.mean, moody.meter, moody.array]
    with phiscope.Observer(moody, (X, Y), run=tmp_path / "r") as observer, untouched(moody):
        observer.record(epoch=0)
        phiscope.measure(moody, (X, Y))
    assert state(moody) == before
    # In place: somebody may hold the same list.
    assert all(a is b for a, b in zip([moody.rows, moody.mean, moody.meter, moody.array], objects, strict=True))


def test_control_a_forward_pass_moves_all_of_it(moody):
    before = state(moody)
    moody(X)
    assert [place for place, (a, b) in enumerate(zip(before, state(moody), strict=True)) if a == b] == []


def test_a_training_that_reads_its_own_counter_ends_in_the_same_bits(tmp_path):
    class Annealed(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.calls, self.h = nn.Linear(4, 8), nn.Linear(8, 3), 0, torch.zeros(1, 8)

        def forward(self, x):
            self.calls += 1
            z = torch.relu(self.a(x)) * (1 - 0.5**self.calls)
            self.h = 0.9 * self.h + 0.1 * z.detach().mean(0, keepdim=True)
            return self.b(z - self.h)

    def trained(observed):
        net = Annealed()
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        observer = phiscope.Observer(net, (X, Y), run=tmp_path / "r") if observed else None
        for epoch in range(3):
            nn.functional.cross_entropy(net(X), Y).backward()
            optimizer.step()
            optimizer.zero_grad()
            if observer is not None:
                observer.record(epoch=epoch)
        return torch.cat([p.detach().flatten() for p in net.parameters()])

    assert torch.equal(trained(True), trained(False))


class Foreign:
    """As if from another package, which may keep more than its attributes."""

    def __init__(self):
        self.position = 0


Foreign.__module__ = "elsewhere.files"


def test_what_cannot_be_put_back_is_named_once(tmp_path):
    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.file = nn.Linear(4, 3), Foreign()

        def forward(self, x):
            self.file.position += 1
            return self.body(x)

    net = nn.Sequential(nn.Identity(), Reading())
    with pytest.warns(
        UserWarning, match=r"a forward pass of Sequential changes 1\.file, which phiscope cannot put back"
    ):
        observer = phiscope.Observer(net, (X, Y), run=tmp_path / "r")
    observer.record(epoch=0)  # no second warning
    observer.close()


def test_a_tensor_too_large_to_copy_is_watched(monkeypatch):
    class Large(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.table = nn.Linear(4, 3), torch.zeros(100)

        def forward(self, x):
            self.table += 1
            return self.body(x)

    monkeypatch.setattr(kept_state, "COPIED_BYTES", 100)
    with pytest.warns(UserWarning, match="changes table"):
        phiscope.measure(Large(), (X, Y))


def test_putting_back_twice_changes_nothing(moody):
    before = state(moody)
    kept = PlainState(moody)
    moody(X)
    kept.put_back()
    kept.put_back()
    assert state(moody) == before
    assert kept.moved() == []


class Drawing(Dataset):
    def __init__(self):
        self.g, self.transform = np.random.default_rng(0), Jitter()

    def __len__(self):
        return 60

    def __getitem__(self, i):
        return self.transform(torch.tensor(self.g.normal(size=4), dtype=torch.float32)), i % 3


class Jitter:
    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, x):
        return x + torch.rand(4, generator=self.generator)


@pytest.mark.parametrize("wrapped", [lambda d: d, lambda d: Subset(d, range(60)), lambda d: ConcatDataset([d])])
def test_a_data_set_with_generators_of_its_own_is_not_moved(tmp_path, wrapped):
    data = Drawing()
    loader = DataLoader(wrapped(data), batch_size=20)
    assert len(generators_of(loader)) == 2
    before = (data.g.bit_generator.state, data.transform.generator.get_state().tolist())
    with phiscope.Observer(nn.Linear(4, 3), loader, run=tmp_path / "r") as observer:
        observer.record(epoch=0)
    assert (data.g.bit_generator.state, data.transform.generator.get_state().tolist()) == before
    next(iter(loader))
    assert data.g.bit_generator.state != before[0]  # the control: reading moves it


@pytest.mark.parametrize("method", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_hook_whose_handle_is_lost_does_nothing_and_is_removed(monkeypatch, tmp_path, method):
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    observer = phiscope.Observer(net, (X, Y), run=tmp_path / "r")
    plain = getattr(nn.Module, method)

    def interrupted(self, *given, **named):
        plain(self, *given, **named)
        raise KeyboardInterrupt  # the signal is handled when the call returns

    monkeypatch.setattr(nn.Module, method, interrupted)
    with pytest.raises(KeyboardInterrupt), untouched(net):
        observer.record(epoch=0)
    with pytest.raises(KeyboardInterrupt), listening({"2": net[2]}, keep_features=True):
        pass
    monkeypatch.undo()
    assert sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in net.modules()) == 1
    net(X)  # without the observer's cleanup it stays, and is deaf
    assert deafened(net) == 1
    observer.record(epoch=1)
    observer.close()


def test_control_c_within_the_cleanup_ends_in_a_whole_cleanup(monkeypatch, moody):
    plain, left = PlainState.put_back, [2]

    def interrupted(self):
        plain(self)
        left[0] -= 1
        if left[0] >= 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(PlainState, "put_back", interrupted)
    with pytest.raises(KeyboardInterrupt), untouched(moody):
        phiscope.measure(moody, (X, Y))
    assert torch.is_grad_enabled()


def test_an_error_in_the_cleanup_comes_after_all_of_it(monkeypatch, moody):
    def broken(self):
        raise ZeroDivisionError

    monkeypatch.setattr(PlainState, "put_back", broken)
    moody.train()
    with pytest.raises(ZeroDivisionError):
        phiscope.measure(moody, (X, Y))
    assert moody.training
    assert torch.is_grad_enabled()


def test_a_block_whose_cleanup_never_ran_is_put_back(moody):
    state_before = state(moody)
    block = isolated(moody)
    block.__enter__()
    moody(X)
    assert not moody.training
    put_back(moody)  # as after Ctrl-C between the block and its cleanup
    assert moody.training
    assert torch.is_grad_enabled()
    assert state(moody) == state_before
    block.__exit__(None, None, None)
    put_back(moody)
    assert hooks.deafened(moody) == 0
    assert isolation._open.get(moody, []) == []


class HooksItself(nn.Module):
    """Puts a hook into its own layer in its first pass and remembers it, as models of transformers do."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        if not hasattr(self, "hooked"):
            self.body.register_forward_hook(lambda *_: None)
            self.hooked = True
        return self.head(self.body(x))


def test_a_network_that_hooks_itself_does_so_once():
    net, data = HooksItself(), (torch.randn(30, 4), torch.arange(30) % 3)
    for _ in range(3):
        phiscope.measure(net, data)
        assert net.hooked
        assert len(net.body._forward_hooks) == 1
    # The control: what is added without hooks goes again.
    plain = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    with isolated(plain):
        plain.note = 1
    assert not hasattr(plain, "note")


class Adapted(nn.Linear):
    """A low-rank adapter that `eval()` merges into the weight and `train()` takes out again."""

    def __init__(self):
        super().__init__(8, 3)
        self.down, self.up, self.merged = nn.Parameter(torch.randn(2, 8)), nn.Parameter(torch.randn(3, 2)), False

    def train(self, mode=True):
        super().train(mode)
        if mode == self.merged:
            self.weight.data += (1 if not mode else -1) * self.up @ self.down
            self.merged = not mode
        return self

    def forward(self, x):
        told = nn.functional.linear(x, self.weight, self.bias)
        return told if self.merged else told + x @ self.down.T @ self.up.T


class Frozen(nn.Sequential):
    """Its body learns in training mode only."""

    def train(self, mode=True):
        super().train(mode)
        for parameter in self[0].parameters():
            parameter.requires_grad_(mode)
        return self


class Fused(nn.Module):
    """Two branches in training, in evaluation one layer in their place, with a buffer."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 3)

    def train(self, mode=True):
        super().train(mode)
        if not mode and not hasattr(self, "one"):
            self.one = nn.Linear(4, 8)
            self.one.weight.data = self.a.weight.data + self.b.weight.data
            self.one.bias.data = self.a.bias.data + self.b.bias.data
            self.register_buffer("fused", torch.ones(()))
            del self.a, self.b
        return self

    def forward(self, x):
        return self.head((self.one(x) if hasattr(self, "one") else self.a(x) + self.b(x)).relu())


class Averaged(nn.Sequential):
    """Evaluates under other weights: exchanged in memory, or by other memory."""

    def train(self, mode=True):
        super().train(mode)
        if not mode:
            self[0].weight.data.mul_(0.5)
            self[2].weight.data = self[2].weight.data * 0.9
        return self


class Normalizing(nn.Module):
    """Writes to its weights in each forward pass."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        self.b.weight.data = nn.functional.normalize(self.b.weight.data, dim=1)
        with torch.no_grad():
            self.a.weight.clamp_(-0.1, 0.1)
        self.a.bias = nn.Parameter(self.a.bias * 2)
        return self.b(self.a(x).tanh())


def _three(kind):
    return kind(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), Adapted()),
        lambda: _three(Frozen),
        Fused,
        lambda: _three(Averaged),
        Normalizing,
    ],
    ids=["adapter", "freezing", "fused", "averaged", "normalizing"],
)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("copied", [True, False], ids=["copied", "too large to copy"])
def test_what_a_change_of_mode_or_a_pass_does_to_parameters_is_undone(make, training, copied, monkeypatch):
    torch.manual_seed(0)
    net = make().train(training)
    known = "train" in vars(net) or any(type(part).train is not nn.Module.train for part in net.modules())
    if not copied:
        monkeypatch.setattr(kept_state, "COPIED_BYTES", 0)
        if not known:
            pytest.skip("what nobody expects to be written is copied where there is room, and named elsewhere")
    held = {name: (id(one), one.data_ptr(), one.requires_grad) for name, one in net.named_parameters()}
    values = {name: one.clone() for name, one in net.state_dict().items()}
    names, modes = list(net.state_dict()), [part.training for part in net.modules()]
    phiscope.measure(net, (X, Y))
    assert {name: (id(one), one.data_ptr(), one.requires_grad) for name, one in net.named_parameters()} == held
    assert list(net.state_dict()) == names
    assert all(torch.equal(net.state_dict()[name], value) for name, value in values.items())
    assert [part.training for part in net.modules()] == modes


def test_a_parameter_that_stays_is_not_written_so_that_a_backward_pass_goes_on():
    net = _three(Frozen)
    loss = nn.functional.cross_entropy(net(X), Y)
    versions = [one._version for one in net.parameters()]
    phiscope.measure(net, (X, Y))
    assert [one._version for one in net.parameters()] == versions
    loss.backward()


def test_nan_in_a_weight_is_no_change():
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    with torch.no_grad():
        net[0].weight[0, 0] = torch.nan
    kept, version = kept_state.KeptParameters(net), net[0].weight._version
    kept.put_back()
    assert net[0].weight._version == version


def test_a_weight_without_a_copy_that_a_pass_writes_to_is_named(monkeypatch):
    monkeypatch.setattr(kept_state, "COPIED_BYTES", 0)
    with pytest.warns(UserWarning, match=r"changes a\.weight, which phiscope cannot put back"):
        phiscope.measure(Normalizing(), (X, Y))


def test_an_object_of_any_package_that_a_class_comes_from_is_put_back_and_nothing_is_said(recwarn):
    """A class of our own derived from one of another package, or around one, changes that package's configuration."""
    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=3
    )

    class Derived(BertForSequenceClassification):
        pass

    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.config, self.inner = config, BertForSequenceClassification(config)

        def forward(self, input_ids, labels=None):
            return self.inner(input_ids=input_ids, labels=labels)

    for net in (Derived(config), Around()):
        with isolated(net):
            net(input_ids=torch.ones(2, 4, dtype=torch.long), labels=torch.zeros(2, dtype=torch.long))
            assert config.problem_type == "single_label_classification"
        assert config.problem_type is None
    assert not [one for one in recwarn if "cannot put back" in str(one.message)]


def test_the_question_to_a_loss_leaves_the_configuration_alone():
    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=3
    )
    net = type("Mine", (BertForSequenceClassification,), {})(config)
    batch = {"input_ids": torch.randint(0, 20, (8, 5)), "labels": torch.randint(0, 2, (8, 3))}
    with pytest.raises(phiscope.errors.ShapeError):
        phiscope.measure(net, [batch])
    assert config.problem_type is None


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("script", [torch.jit.script, lambda part: torch.jit.trace(part, X)], ids=["script", "trace"])
@pytest.mark.parametrize("switching", [False, True])
def test_parts_of_torchscript_are_left_as_they_are(script, switching):
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    wanted = phiscope.measure(net, (X, Y)).to_dict()
    whole = (_Loud if switching else nn.Sequential)(script(net[:2]), net[2])
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    assert phiscope.measure(whole, (X, Y)).to_dict() == pytest.approx(wanted, rel=1e-5)
    assert phiscope.measure_layers(whole, (X, Y))
    assert all(torch.equal(before[name], value) for name, value in whole.state_dict().items())
    assert whole.training


class _Loud(nn.Sequential):
    """A change of mode of its own around parts that have none."""

    def train(self, mode=True):
        return super().train(mode)
