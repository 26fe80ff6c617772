"""What lies in a checkpoint, and how it fits: every form that people save, and what is refused."""

import contextlib
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from phiscope.errors import InputError
from phiscope.observe.weights import Facts, borrowed, facts_of, fitted, weights_in
from saved_trainings import X, made_net, save_trainer_folder, states

STATE = states(2)[1]


def under(prefix, state=None):
    return {prefix + name: tensor for name, tensor in (STATE if state is None else state).items()}


CONTENTS = {
    "the state itself": STATE,
    "a model": {"model": STATE, "optimizer": {"state": {}}, "epoch": 3},
    "a state_dict": {"state_dict": STATE, "epoch": 3},
    "a model_state_dict": {"model_state_dict": STATE, "loss": torch.tensor(1.0)},
    "from DataParallel": under("module."),
    "compiled": under("_orig_mod."),
    "compiled inside": {name.replace("body.", "body._orig_mod."): one for name, one in STATE.items()},
    "an averaged model": {**under("module."), "n_averaged": torch.tensor(5)},
    "of a larger module": {"state_dict": {**under("model."), "loss.weight": torch.ones(3)}},
    "of another attribute": {"state_dict": {**under("net."), "loss.weight": torch.ones(3)}},
    "three wrappers": under("module._orig_mod.model."),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_weights_fit_however_they_were_saved(tmp_path, case):
    torch.save(CONTENTS[case], tmp_path / "c.pt")
    net = made_net()
    net.load_state_dict(fitted(weights_in(tmp_path / "c.pt"), net, tmp_path / "c.pt"))
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, STATE[name])


def test_safetensors_and_trainer_folders_fit(tmp_path):
    save_file(STATE, tmp_path / "c.safetensors")
    save_trainer_folder(tmp_path / "one", STATE, epoch=1.0, step=10)
    save_trainer_folder(tmp_path / "three", STATE, epoch=1.0, step=10, shards=3)
    for path in (tmp_path / "c.safetensors", tmp_path / "one", tmp_path / "three"):
        found = fitted(weights_in(path), made_net(), path)
        assert sorted(found) == sorted(STATE)
        assert all(torch.equal(found[name], STATE[name]) for name in STATE)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # what torch.compile itself imports
def test_a_compiled_network_takes_its_names_without_the_wrapper(tmp_path):
    net = nn.Sequential(torch.compile(nn.Linear(2, 2)), nn.Linear(2, 2))
    plain = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).state_dict()
    assert sorted(fitted(plain, net, tmp_path)) == sorted(net.state_dict())


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.words.weight


def test_tied_weights_may_be_left_out(tmp_path):
    assert list(fitted({"words.weight": torch.ones(5, 3)}, Tied(), tmp_path)) == ["words.weight"]
    with pytest.raises(InputError, match=r"missing words.weight, head.weight; unexpected x"):
        fitted({"x": torch.ones(5, 3)}, Tied(), tmp_path)


def test_a_key_chooses(tmp_path):
    other = {name: tensor + 1 for name, tensor in STATE.items()}
    torch.save({"model": STATE, "ema": other}, tmp_path / "c.pt")
    assert torch.equal(weights_in(tmp_path / "c.pt")["head.bias"], STATE["head.bias"])
    assert torch.equal(weights_in(tmp_path / "c.pt", "ema")["head.bias"], other["head.bias"])
    with pytest.raises(InputError, match="no weights under 'swa'; it has model, ema"):
        weights_in(tmp_path / "c.pt", "swa")


MISFITS = {
    "missing": ({k: v for k, v in STATE.items() if k != "head.bias"}, "does not fit the network: missing head.bias$"),
    "unexpected": ({**STATE, "more": torch.ones(1)}, "does not fit the network: unexpected more$"),
    "both": ({"model." + k.replace("head", "tail"): v for k, v in STATE.items()},
             "missing head.weight, head.bias; unexpected tail.weight, tail.bias"),
    "many": ({"a": torch.ones(1)}, r"missing body.0.weight, body.0.bias, body.1.weight and 6 more; unexpected a"),
    "shape": ({**STATE, "head.bias": torch.ones(7)}, r"head.bias has shape \(7,\), the network's has \(3,\)"),
    "quantized": ({**STATE, "head.bias": torch.ones(3, dtype=torch.int8)}, "head.bias holds torch.int8, the"),
    "complex": ({**STATE, "head.bias": torch.ones(3, dtype=torch.complex64)}, "head.bias holds torch.complex64"),
    "twice": ({**under("a."), **under("b.")}, "holds this network 2 times, under a., b."),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_one_sentence(tmp_path, case):
    state, sentence = MISFITS[case]
    with pytest.raises(InputError, match=sentence):
        fitted(state, made_net(), tmp_path / "c.pt")


class Foreign:
    pass


def test_what_could_run_code_is_not_loaded(tmp_path):
    torch.save({"model": STATE, "config": Foreign()}, tmp_path / "c.pt")
    with pytest.raises(InputError, match=r"more than tensors and plain values.*Foreign.*add_safe_globals"):
        weights_in(tmp_path / "c.pt")
    (tmp_path / "p.pt").write_bytes(pickle.dumps(Foreign(), protocol=2))
    with pytest.raises(InputError, match=r"p\.pt"):
        weights_in(tmp_path / "p.pt")


UNREADABLE = {
    "torn": lambda path: path.write_bytes(b"PK\x03\x04" + b"\0" * 40),
    "no weights": lambda path: torch.save({"epoch": 3}, path),
    "a list": lambda path: torch.save([1, 2], path),
    "two nests": lambda path: torch.save({"model": STATE, "state_dict": STATE}, path),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read_is_one_sentence(tmp_path, case):
    path = tmp_path / "c.pt"
    UNREADABLE[case](path)
    with pytest.raises(InputError, match=r"c\.pt"):
        weights_in(path)


def test_damaged_safetensors_and_folders_are_one_sentence(tmp_path):
    (tmp_path / "c.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(InputError, match=r"c\.safetensors cannot be read"):
        weights_in(tmp_path / "c.safetensors")
    with pytest.raises(InputError, match=r"holds none of model\.safetensors"):
        weights_in(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../elsewhere.safetensors"}}')
    with pytest.raises(InputError, match="leads out of its folder"):
        weights_in(tmp_path)


def test_epoch_and_step_are_read_where_they_are_said(tmp_path):
    torch.save({"model": STATE, "epoch": 3, "global_step": 400}, tmp_path / "a.pt")
    save_file(STATE, tmp_path / "b.safetensors", metadata={"step": "40", "format": "pt"})
    save_trainer_folder(tmp_path / "checkpoint-10", STATE, epoch=1.5, step=10)
    torch.save(STATE, tmp_path / "d.pt")
    torch.save({"model": STATE, "epoch": True, "step": "7"}, tmp_path / "e.pt")
    expected = {"a.pt": (3.0, 400), "b.safetensors": (None, 40), "checkpoint-10": (1.5, 10), "d.pt": (None, None)}
    for name, (epoch, step) in {**expected, "e.pt": (None, None)}.items():
        assert facts_of(tmp_path / name) == Facts(epoch=epoch, step=step)


def test_a_borrowed_network_has_its_own_weights_again():
    net = made_net()
    net.train()
    before = {name: (tensor, tensor.clone()) for name, tensor in net.state_dict(keep_vars=True).items()}

    def diverted():
        with borrowed(net):
            net.load_state_dict(STATE)
            net(X)
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        diverted()
    after = net.state_dict(keep_vars=True)
    assert all(after[name] is tensor and torch.equal(tensor, value) for name, (tensor, value) in before.items())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"junk", "is no checkpoint"),
        (b"ab", "is no checkpoint"),
        (b"hello world\n", "is no checkpoint"),
        (b"epoch,loss\n1,0.5\n", "is no checkpoint"),
        (b"{}", "is no checkpoint"),
    ],
)
@pytest.mark.parametrize("read", [weights_in, facts_of])
def test_a_file_that_is_no_checkpoint_is_called_so(tmp_path, read, content, words):
    """It was struct's own error, "cannot be read: " and nothing more, or "cannot be read: 101"."""
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"cannot be read: .*{words}"):
        read(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_no_damage_is_a_traceback(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "x.pt"
    for new in (True, False):
        torch.save({"model": STATE, "epoch": 1}, path, _use_new_zipfile_serialization=new)
        good = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(60):
            bad = good[: rng.integers(len(good))].copy() if rng.random() < 0.5 else good.copy()
            if len(bad):
                bad[rng.integers(len(bad), size=3)] = rng.integers(256, size=3)
            path.write_bytes(bad.tobytes())
            # What still can be read is fine.
            with contextlib.suppress(InputError):
                facts_of(path), weights_in(path)


def test_a_damaged_state_of_the_trainer_is_one_sentence(tmp_path):
    (tmp_path / "trainer_state.json").write_text("{")
    with pytest.raises(InputError, match=r"trainer_state\.json cannot be read"):
        facts_of(tmp_path)
    torch.save({"pytorch-lightning_version": "2", "loops": None}, tmp_path / "x.ckpt")
    assert facts_of(tmp_path / "x.ckpt") == Facts(epoch=None, step=None)
