"""The callback of Hugging Face's Trainer: one line, a run for each training, and nothing of the training moved."""

import json
import warnings

import pytest
import torch

import phiscope
from phiscope.errors import InputError

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from phiscope.integrations import TransformersObserver  # noqa: E402
from texts import EVALUATION, TRAINING, model, padded, rows, trainer  # noqa: E402


@pytest.fixture(autouse=True)
def calm():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="transformers|accelerate|torch")
        warnings.filterwarnings("ignore", message=".*reduction='none'.*|.*find_unused.*|.*torch_dtype.*")
        yield


def moments(path):
    return [(record.epoch, record.step) for record in phiscope.open_run(path).records]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def hooks(network):
    return sum(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in network.modules())


def test_one_line_gives_the_run_with_the_trainers_own_data_and_collator(tmp_path):
    observer = TransformersObserver(run=tmp_path / "mine")
    made = trainer(tmp_path, observer)
    made.train()
    run = phiscope.open_run(observer.path)
    assert (run.status, run.splits) == ("completed", ("evaluation",))
    assert moments(observer.path) == [(0.0, 0), (1.0, 6), (2.0, 12)]
    assert [record.measurement().n_samples for record in run.records] == [50, 50, 50]
    assert run.header["data"] == "the trainer's own evaluation data (evaluation)"
    # Logged after the epoch's end, and after the training's.
    assert {"loss", "eval_loss"} <= set(run.records[1].scalars)
    assert "train_loss" in run.records[2].scalars
    assert made.accelerator._dataloaders == [made.callback_handler.train_dataloader, *made.accelerator._dataloaders[1:]]
    expected = phiscope.measure(made.model, [padded(EVALUATION)])
    assert run.records[-1].numbers()["effective_dimension"] == pytest.approx(expected["effective_dimension"], rel=1e-5)


def test_settings_are_those_that_differ_without_secrets_and_places(tmp_path):
    observer = TransformersObserver(run=tmp_path / "mine")
    trainer(tmp_path, observer, hub_token="hf_secret", run_name="private", seed=7, learning_rate=1e-3).train()
    header = phiscope.open_run(observer.path).header
    assert header["settings"]["learning_rate"] == 1e-3
    assert header["settings"]["optimizer"] == "AdamW"
    assert header["settings"]["seed"] == 7
    assert header["settings"]["num_train_epochs"] == 2
    assert not any(name.endswith("_dir") for name in header["settings"])
    for secret in ("hf_secret", "private", str(tmp_path)):
        assert secret not in json.dumps(header)


@pytest.mark.parametrize(
    ("settings", "background"),
    [
        pytest.param({}, False, id="plain"),
        pytest.param({"bf16": True}, True, id="bf16-background"),
        pytest.param({}, True, id="background", marks=pytest.mark.slow),
        pytest.param({"bf16": True}, False, id="bf16", marks=pytest.mark.slow),
        *(
            pytest.param(settings, background, id=f"{next(iter(settings))}-{background}", marks=pytest.mark.slow)
            for settings in ({"gradient_accumulation_steps": 3}, {"gradient_checkpointing": True})
            for background in (False, True)
        ),
    ],
)
def test_the_training_ends_bit_for_bit_as_without(tmp_path, settings, background):
    alone = trainer(tmp_path, **settings)
    alone.train()
    state = torch.get_rng_state()
    observer = TransformersObserver(run=tmp_path / "mine", background=background)
    observed = trainer(tmp_path, observer, **settings)
    observed.train()
    assert same(alone.model, observed.model)
    assert torch.equal(state, torch.get_rng_state())
    assert hooks(alone.model) == hooks(observed.model)
    assert len(alone.accelerator._dataloaders) == len(observed.accelerator._dataloaders)
    assert len(phiscope.open_run(observer.path).records) == 3


def test_mixed_precision_is_measured_in_full(tmp_path):
    observer = TransformersObserver(run=tmp_path / "mine")
    made = trainer(tmp_path, observer, bf16=True)
    made.train()
    plain = model()
    plain.load_state_dict(made.model.state_dict())
    number = phiscope.open_run(observer.path).records[-1].numbers()["effective_dimension"]
    assert number == pytest.approx(phiscope.measure(plain, [padded(EVALUATION)])["effective_dimension"], rel=1e-5)


def test_steps_are_counted_in_optimizer_steps(tmp_path):
    observer = TransformersObserver(run=tmp_path / "mine", every_steps=5)
    trainer(tmp_path, observer).train()
    run = phiscope.open_run(observer.path)
    assert run.unit == "step"
    assert [record.at for record in run.records] == [0, 5, 10, 12]
    assert "loss" in run.records[2].scalars
    assert "eval_loss" in run.records[3].scalars


def test_a_checkpoint_carries_where_the_run_stands(tmp_path):
    first = TransformersObserver(run=tmp_path / "mine")
    trainer(tmp_path, first, save_strategy="epoch", num_train_epochs=3).train()
    again = TransformersObserver(run=tmp_path / "mine")
    trainer(tmp_path, again, num_train_epochs=3).train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-6"))
    run = phiscope.open_run(again.path)
    assert again.path == first.path
    assert moments(again.path) == [(0.0, 0), (1.0, 6), (2.0, 12), (3.0, 18)]
    assert (run.branches, run.hidden, run.status) == ((0, 1), 2, "completed")
    # The same batches came, so that both branches end in the same numbers; the start is the first training's.
    left = run.branch(0).records[-1].numbers()["initial_kernel_similarity"]
    assert run.records[-1].numbers()["initial_kernel_similarity"] == pytest.approx(left, rel=1e-4)


def test_a_checkpoint_within_an_epoch(tmp_path):
    first = TransformersObserver(run=tmp_path / "mine")
    trainer(tmp_path, first, save_strategy="steps", save_steps=4, max_steps=8).train()
    again = TransformersObserver(run=tmp_path / "mine")
    trainer(tmp_path, again, max_steps=12).train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-8"))
    assert moments(again.path) == [(0.0, 0), (1.0, 6), (2.0, 12)]
    # A training that ends within an epoch is measured where it ends; the checkpoint is from before that record.
    left = phiscope.open_run(again.path).branch(0).records[-1]
    assert (left.epoch, left.step, left.splits) == (pytest.approx(8 / 6), 8, ("evaluation",))


def test_a_training_that_is_begun_again_gets_a_run_of_its_own(tmp_path):
    observer = TransformersObserver(run=tmp_path / "mine")
    network = model()
    failed = []

    def too_large(module, args, kwargs):
        if not failed and module.training:
            failed.append(True)
            raise RuntimeError("CUDA out of memory.")

    network.register_forward_pre_hook(too_large, with_kwargs=True)
    made = trainer(tmp_path, observer, network=network, auto_find_batch_size=True)
    made.train()
    assert failed
    assert observer.path == tmp_path / "mine-2"
    first, second = phiscope.open_run(tmp_path / "mine"), phiscope.open_run(tmp_path / "mine-2")
    assert (first.status, first.reason) == ("failed", "the framework began the training again")
    assert second.status == "completed"


def test_trials_of_a_search_are_in_the_name(tmp_path):
    observer = TransformersObserver(run=tmp_path / "{trial}")
    made = trainer(tmp_path, observer, num_train_epochs=1)
    began = observer.on_train_begin

    def as_trial(args, state, control, **kwargs):
        state.is_hyper_param_search, state.trial_name = True, "lr=0.1"
        began(args, state, control, **kwargs)

    observer.on_train_begin = as_trial
    made.train()
    assert observer.path == tmp_path / "lr-0.1"


def failing(network, error, made, step=8):
    def fail(module, args, kwargs):
        if module.training and made[0].state.global_step >= step:
            raise error

    network.register_forward_pre_hook(fail, with_kwargs=True)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [(ValueError("no bread"), "failed", "ValueError: no bread"), (KeyboardInterrupt(), "interrupted", "")],
)
def test_a_failure_is_said_and_not_hidden(tmp_path, error, status, reason):
    observer, network, made = TransformersObserver(run=tmp_path / "mine"), model(), []
    failing(network, error, made)
    made.append(trainer(tmp_path, observer, network=network))
    with pytest.raises(type(error)):
        made[0].train()
    run = phiscope.open_run(observer.path)
    assert (run.status, run.reason, len(run.records)) == (status, reason, 2)


def test_a_callback_that_is_added_later_hears_of_a_failure_in_a_block(tmp_path):
    observer, network, made = TransformersObserver(run=tmp_path / "mine"), model(), []
    failing(network, ValueError("no bread"), made)
    made.append(trainer(tmp_path, network=network))
    made[0].add_callback(observer)
    with pytest.raises(ValueError, match="no bread"), observer:
        made[0].train()
    assert phiscope.open_run(observer.path).status == "failed"


def test_an_alert_stops_the_trainer(tmp_path):
    alert = phiscope.Alert("effective_dimension", below=1e9, patience=2, then="stop")
    observer = TransformersObserver(run=tmp_path / "mine", alerts=[alert])
    warnings.filterwarnings("ignore", message="alert:")
    made = trainer(tmp_path, observer, num_train_epochs=50)
    made.train()
    assert made.state.epoch == 1
    assert phiscope.open_run(observer.path).status == "completed"


def test_the_best_model_that_is_loaded_at_the_end_is_no_record(tmp_path):
    observer = TransformersObserver(run=tmp_path / "mine")
    trainer(tmp_path, observer, save_strategy="epoch", load_best_model_at_end=True).train()
    assert moments(observer.path) == [(0.0, 0), (1.0, 6), (2.0, 12)]


def test_several_evaluation_sets_are_splits(tmp_path):
    observer = TransformersObserver(run=tmp_path / "mine")
    trainer(tmp_path, observer, evaluation={"easy": EVALUATION, "hard": rows(40, 2)}).train()
    assert phiscope.open_run(observer.path).splits == ("easy", "hard")


def test_no_evaluation_data_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"pass TransformersObserver\(probe_data="):
        trainer(tmp_path, TransformersObserver(run=tmp_path / "a"), evaluation=None, eval_strategy="no").train()
    observer = TransformersObserver([padded(EVALUATION)], run=tmp_path / "b")
    trainer(tmp_path, observer, evaluation=None, eval_strategy="no").train()
    assert len(phiscope.open_run(observer.path).records) == 3


def test_a_missing_library_is_one_sentence(monkeypatch):
    import importlib

    from phiscope import integrations

    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(integrations, "import_module", missing)
    for name, library in {"LightningObserver": "lightning", "KerasObserver": "keras"}.items():
        with pytest.raises(phiscope.PhiscopeError, match=rf"pip install 'phiscope\[{library}\]'"):
            getattr(integrations, name)
    assert importlib.import_module
    with pytest.raises(AttributeError, match="no attribute 'JaxObserver'"):
        integrations.JaxObserver  # noqa: B018


def test_several_observers_in_one_trainer_go_on_in_their_own_runs_and_hear_of_failures(tmp_path):
    def several():
        return TransformersObserver(run=tmp_path / "a"), TransformersObserver(run=tmp_path / "b", every_steps=4)

    trainer(tmp_path, *several(), save_strategy="epoch").train()
    text = (tmp_path / "out" / "checkpoint-6" / "trainer_state.json").read_text()
    assert {name.partition("-")[0] for name in json.loads(text)["stateful_callbacks"]} >= {"phiscope:a", "phiscope:b"}
    one, other = several()
    network, made = model(), []
    failing(network, ValueError("no bread"), made, step=14)
    made.append(trainer(tmp_path, one, other, network=network, num_train_epochs=3))
    with pytest.raises(ValueError, match="no bread"):
        made[0].train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-6"))
    assert (one.path.name, other.path.name) == ("a", "b")
    assert [step for _, step in moments(one.path)] == [0, 6, 12]
    assert [step for _, step in moments(other.path)] == [0, 4, 6, 8, 12]
    assert [phiscope.open_run(observer.path).status for observer in (one, other)] == ["failed", "failed"]


def test_a_checkpoint_of_an_earlier_version_still_carries_where_the_run_stands(tmp_path):
    first = TransformersObserver(run=tmp_path / "mine")
    trainer(tmp_path, first, save_strategy="epoch").train()
    checkpoint = tmp_path / "out" / "checkpoint-6"
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    (key,) = (name for name in state["stateful_callbacks"] if name.startswith("phiscope"))
    state["stateful_callbacks"]["phiscope"] = state["stateful_callbacks"].pop(key)
    (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    again = TransformersObserver(run=tmp_path / "mine")
    trainer(tmp_path, again).train(resume_from_checkpoint=str(checkpoint))
    assert again.path == first.path
    assert phiscope.open_run(again.path).branches == (0, 1)


class NeedsLabels(torch.nn.Module):
    def __init__(self, needs):
        super().__init__()
        self.bert, self.needs = model(), needs

    def forward(self, input_ids, attention_mask, labels=None):
        logits = self.bert(input_ids=input_ids, attention_mask=attention_mask).logits
        return {"loss": self.needs(logits, labels), "logits": logits}


def loss_of_its_own(logits, labels):
    if labels is not None:
        loss = logits.mean()
    return loss


def refused(logits, labels):
    raise ValueError("labels is None")


@pytest.mark.parametrize(
    "needs",
    [
        torch.nn.functional.cross_entropy,
        lambda logits, labels: logits.mean() * labels.ndim,
        loss_of_its_own,
        refused,
    ],
    ids=["a TypeError", "an AttributeError", "an UnboundLocalError", "a ValueError"],
)
def test_a_model_that_needs_labels_is_one_sentence_beside_its_own(tmp_path, needs):
    words = (
        r"NeedsLabels.forward failed \(.*(None|loss).*\), and phiscope measures without 'labels'; where the loss needs"
    )
    with pytest.raises(InputError, match=words) as caught:
        trainer(tmp_path, TransformersObserver(run=tmp_path / "mine"), network=NeedsLabels(needs)).train()
    assert isinstance(caught.value.__cause__, TypeError | AttributeError | UnboundLocalError | ValueError)
    assert not (tmp_path / "mine").exists()


class Topics(torch.nn.Module):
    """A network of one's own, whose targets have a name of their own."""

    def __init__(self):
        super().__init__()
        self.bert = model()

    def forward(self, input_ids, attention_mask, topic=None):
        logits = self.bert(input_ids=input_ids, attention_mask=attention_mask).logits
        return {"logits": logits} if topic is None else {"loss": _loss(logits, topic), "logits": logits}


class NeedsTargets(Topics):
    def forward(self, input_ids, attention_mask, targets):
        return super().forward(input_ids, attention_mask, targets)


def _loss(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels)


def _renamed(name):
    def collated(examples):
        return {name if key == "labels" else key: value for key, value in padded(examples).items()}

    return collated


@pytest.mark.parametrize(("kind", "name"), [(Topics, "topic"), (NeedsTargets, "targets")])
def test_targets_are_what_the_trainers_label_names_say(tmp_path, kind, name):
    observer = TransformersObserver(run=tmp_path / "mine")
    made = trainer(tmp_path, observer, network=kind(), label_names=[name], remove_unused_columns=False)
    made.data_collator = _renamed(name)
    made.train()
    expected = phiscope.measure(made.model.bert, [padded(EVALUATION)])
    found = phiscope.open_run(observer.path).records[-1].numbers()
    assert found["readout_r2"] == pytest.approx(expected["readout_r2"], rel=1e-4)
    assert found["used_variance"] == pytest.approx(expected["used_variance"], rel=1e-4)
    # What the user says comes first.
    observer = TransformersObserver(run=tmp_path / "mine", targets=lambda batch: None)
    made = trainer(tmp_path, observer, network=kind(), label_names=[name], remove_unused_columns=False)
    made.data_collator = _renamed(name)
    made.train()
    assert "readout_r2" not in phiscope.open_run(observer.path).records[-1].numbers()


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(TRAINING)


def test_epochs_of_data_without_a_length_are_counted_by_their_ends(tmp_path):
    def observed(**settings):
        observer = TransformersObserver(run=tmp_path / "mine", **settings)
        made = trainer(tmp_path, observer, max_steps=14)
        made.train_dataset = Endless()
        made.train()
        return phiscope.open_run(observer.path)

    run = observed()
    # The third is ended by max_steps; how long it would have been is not known.
    assert [(record.epoch, record.step) for record in run.records] == [(0.0, 0), (1.0, 6), (2.0, 12), (3.0, 14)]
    assert all("loss" in record.scalars for record in run.records[1:3])
    run = observed(every_steps=5)
    assert [(record.epoch, record.step) for record in run.records[:3]] == [(0.0, 0), (0.0, 5), (1.0, 10)]


def test_a_resumed_training_of_data_without_a_length_goes_on_counting(tmp_path):
    def observed(steps, checkpoint=None):
        observer = TransformersObserver(run=tmp_path / "mine")
        made = trainer(tmp_path, observer, max_steps=steps, save_strategy="steps", save_steps=8)
        made.train_dataset = Endless()
        made.train(resume_from_checkpoint=checkpoint and str(tmp_path / "out" / f"checkpoint-{checkpoint}"))
        if made.state.global_step == checkpoint and transformers.__version__ < "5":
            pytest.skip("this Trainer ends where it passes over more batches than an epoch has")
        return moments(observer.path)

    assert observed(16) == [(0, 0), (1, 6), (2, 12), (3, 16)]
    # The Trainer passes over eight batches, of which there are six: an epoch that trains nothing is none.
    assert observed(22, checkpoint=8) == [(0, 0), (1, 6), (2, 14), (3, 20), (4, 22)]
    # The checkpoint was written before its epoch was recorded, and the run knows better.
    assert observed(28, checkpoint=16) == [(0, 0), (1, 6), (2, 14), (4, 22), (5, 28)]
