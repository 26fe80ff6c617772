"""The passive observer: the training's own features, the same training to the bit, plain words when it cannot hear."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import EmptyDataError, HeadError, InputError, NonFiniteError, RunExistsError
from untouched import untouched

X = torch.randn(240, 1, 6, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(240) % 3


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.3), nn.Flatten(), nn.Linear(64, 3)
    )


def batches(size=40):
    return [(X[i : i + size], Y[i : i + size]) for i in range(0, len(X), size)]


def trained(observer_of=None, *, autocast=False):
    """Three epochs; `observer_of(net)` listens to every batch. Weights and the records' measurements."""
    net, found = network(), []
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    observer = None if observer_of is None else observer_of(net)
    torch.manual_seed(1)
    for epoch in range(3):
        for x, y in batches():
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                if observer is None:
                    loss = nn.functional.cross_entropy(net(x), y)
                else:
                    with observer.batch((x, y)):
                        loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
        if observer is not None:
            found.append(observer.record(epoch=epoch + 1, train_loss=loss))
    if observer is not None:
        observer.close()
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}, found


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_training_ends_in_identical_bits(tmp_path, background, autocast):
    plain, _ = trained(autocast=autocast)
    run = tmp_path / "r"
    heard, found = trained(
        lambda net: phiscope.PassiveObserver(net, (X, Y), run=run, background=background), autocast=autocast
    )
    assert [name for name in plain if not torch.equal(plain[name], heard[name])] == []
    assert [one.n_samples for one in found] == [240, 240, 240]
    stored = phiscope.open_run(run)
    assert [record.epoch for record in stored.records] == [1, 2, 3]
    for record, one in zip(stored.records, found, strict=True):
        assert record.measurement("train").to_dict() == one.to_dict()
    assert stored.results["observer_share"] > 0


def test_numbers_are_those_of_measure_while_the_network_stands_still(tmp_path):
    net = network().eval()
    with phiscope.PassiveObserver(net, (X, Y), run=tmp_path / "r") as observer:
        for x, y in batches(17):
            with observer.batch((x, y)), untouched(net):
                net(x)
        found = observer.record(epoch=0)
    expected = phiscope.measure(net, batches(17))
    assert found.to_dict() == pytest.approx(expected.to_dict(), rel=1e-12)
    np.testing.assert_allclose(found.centered.eigenvalues, expected.centered.eigenvalues, rtol=1e-12)
    assert "15 forward passes" in found.warnings[0]
    assert "in eval mode" in found.warnings[0]
    assert "initial_kernel_similarity" in found.absent


def test_control_features_in_training_mode_differ(tmp_path):
    net = network()
    with phiscope.PassiveObserver(net, (X, Y), run=tmp_path / "r") as observer:
        with observer.batch((X, Y)):
            net(X)
        found = observer.record(epoch=0)
    assert "in training mode" in found.warnings[0]
    assert abs(found["used_variance"] - phiscope.measure(net, (X, Y))["used_variance"]) > 1e-3


def test_each_record_holds_the_batches_since_the_last_one(tmp_path):
    net = network().eval()
    parts = batches(120)
    with phiscope.PassiveObserver(net, (X, Y), run=tmp_path / "r") as observer:
        assert observer.record(epoch=0, train_loss=2.0) is None
        found = []
        for epoch, part in enumerate(parts):
            with observer.batch(part):
                net(part[0])
            found.append(observer.record(epoch=epoch + 1))
    for one, part in zip(found, parts, strict=True):
        assert one.to_dict() == pytest.approx(phiscope.measure(net, part).to_dict(), rel=1e-12)
    records = phiscope.open_run(tmp_path / "r").records
    assert [len(record.splits) for record in records] == [0, 1, 1]
    assert records[0].scalars == {"train_loss": 2.0}


def test_no_hook_is_left_when_the_block_raises(tmp_path):
    net = network()
    with phiscope.PassiveObserver(net, (X, Y), run=tmp_path / "r") as observer:
        with pytest.raises(KeyError), untouched(net), observer.batch((X, Y)):
            raise KeyError("in the training")
        assert observer.record(epoch=0) is None


def test_the_block_needs_one_forward_pass(tmp_path):
    net = network()
    with phiscope.PassiveObserver(net, (X, Y), run=tmp_path / "r") as observer:
        with pytest.raises(HeadError, match="ran 0 times"), observer.batch((X, Y)):
            net.forward(X)
        with pytest.raises(HeadError, match="ran 2 times"), observer.batch((X, Y)):
            net(X), net(X)


def test_nan_does_not_count_and_is_told(tmp_path):
    net = network()
    with phiscope.PassiveObserver(net, (X, Y), run=tmp_path / "r") as observer:
        for part in batches(80)[:2]:
            with observer.batch(part):
                net(part[0])
        with torch.no_grad():
            net[0].weight.fill_(float("nan"))
        with pytest.raises(NonFiniteError), observer.batch((X, Y)):
            net(X)
        found = observer.record(epoch=1)
    assert found.n_samples == 160
    assert "2 forward passes" in found.warnings[0]


def test_one_sample_is_too_few_and_the_scalars_stay(tmp_path):
    net = network().eval()
    with phiscope.PassiveObserver(net, (X, Y), run=tmp_path / "r") as observer:
        with observer.batch((X[:1], Y[:1])):
            net(X[:1])
        with pytest.raises(EmptyDataError):
            observer.record(epoch=1, train_loss=0.5)
    assert phiscope.open_run(tmp_path / "r").records[0].scalars == {"train_loss": 0.5}


def test_networks_that_a_hook_cannot_hear_are_refused(tmp_path):
    net = network()
    with pytest.raises(InputError, match="compiled network"):
        phiscope.PassiveObserver(torch.compile(net, backend="eager"), (X, Y), run=tmp_path / "r")
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=11, n_embd=8, n_layer=1, n_head=1, n_positions=16, num_labels=3, pad_token_id=0
    )
    model = transformers.GPT2ForSequenceClassification(config)
    batch = {"input_ids": torch.randint(1, 11, (6, 5)), "labels": torch.arange(6) % 3}
    with pytest.raises(InputError, match="one position"):
        phiscope.PassiveObserver(model, batch, run=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_closed_observer_and_an_existing_run(tmp_path):
    net = network()
    observer = phiscope.PassiveObserver(net, (X, Y), run=tmp_path / "r")
    observer.close()
    with pytest.raises(InputError, match="closed"):
        observer.record(epoch=0)
    with pytest.raises(InputError, match="closed"), observer.batch((X, Y)):
        net(X)
    with pytest.raises(RunExistsError):
        phiscope.PassiveObserver(net, (X, Y), run=tmp_path / "r")


def test_tokens_of_a_masked_language_model(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=13, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    torch.manual_seed(0)
    model = transformers.BertForMaskedLM(config).eval()
    tokens = torch.randint(1, 13, (12, 7))
    labels = torch.where(torch.rand(12, 7) < 0.5, tokens, -100)
    batch = {"input_ids": tokens, "labels": labels}
    with phiscope.PassiveObserver(model, batch, run=tmp_path / "r") as observer:
        with observer.batch(batch):
            model(**batch).loss.backward()
        found = observer.record(step=1)
    assert found.n_samples == int((labels != -100).sum())
    assert found.to_dict() == pytest.approx(phiscope.measure(model, batch).to_dict(), rel=1e-6)


class Stuck:
    """A writer whose record waits until it is let go, then fails if told to."""

    def __init__(self, fails=False):
        self.free, self.threads, self.fails, self.ended = threading.Event(), [], fails, None

    def append(self, *record):
        assert self.free.wait(20)
        self.threads.append(threading.current_thread())
        if self.fails:
            raise InputError("the disk is full")

    def save_gallery(self, *gallery):
        pass

    def finish(self, status, results=None, reason=None):
        self.ended = status

    def close(self):
        pass


@pytest.mark.parametrize("kind", [phiscope.Observer, phiscope.PassiveObserver])
def test_in_the_background_the_training_goes_on_while_a_record_is_written(tmp_path, kind):
    net = network()
    observer = kind(net, (X, Y), run=tmp_path / "r", background=True)
    observer._writer = stuck = Stuck()
    observer.record(epoch=0, train_loss=1.0)
    # Here already, although nothing could be written yet.
    assert stuck.threads == []
    stuck.free.set()
    observer.close()
    assert stuck.ended == "completed"
    assert stuck.threads[0] is not threading.current_thread()


def test_an_error_in_the_background_comes_with_the_next_record_or_the_end(tmp_path):
    net = network()
    observer = phiscope.Observer(net, (X, Y), run=tmp_path / "r", background=True)
    observer._writer = stuck = Stuck(fails=True)
    stuck.free.set()
    observer.record(epoch=0)
    for epoch in (1, 2):
        # Raised after this record was handed over: it has done nothing wrong.
        with pytest.raises(InputError, match="disk is full"):
            observer.record(epoch=epoch)
    with pytest.raises(InputError, match="disk is full"):
        observer.close()
    assert len(stuck.threads) == 3
    assert stuck.ended == "completed"


def test_background_records_are_those_of_the_foreground(tmp_path):
    net = network()
    for name, background in (("front", False), ("back", True)):
        with phiscope.Observer(net, (X, Y), run=tmp_path / name, background=background) as observer:
            told = [observer.record(epoch=epoch) for epoch in range(3)]
            assert told[2]["dynamical_low_rank"] > 0
    front, back = (phiscope.open_run(tmp_path / name) for name in ("front", "back"))
    for a, b in zip(front.records, back.records, strict=True):
        assert a.measurement("probe").to_dict() == b.measurement("probe").to_dict()
        np.testing.assert_array_equal(a.extras("probe")["gallery_raw"], b.extras("probe")["gallery_raw"])


def test_what_is_no_moment_is_refused_before_anything_is_measured(tmp_path):
    with phiscope.PassiveObserver(network(), batches(), run=tmp_path / "run") as observer:
        for moment in ({"epoch": "a"}, {"epoch": 0, "step": 1.5}):
            with pytest.raises(InputError, match=r"epoch='a'|step=1.5"):
                observer.record(**moment)
    assert phiscope.open_run(tmp_path / "run").records == ()
