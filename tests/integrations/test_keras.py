"""The callback of Keras on torch: one line, a run for each fit, and nothing of the training moved."""

import os
import subprocess
import sys
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import torch

import phiscope
from phiscope.errors import InputError

keras = pytest.importorskip("keras")

from phiscope.integrations import KerasObserver  # noqa: E402

# Keras hands torch's tensors to NumPy in a way that NumPy 2 wants otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(160, 5)).astype("float32")
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)


def model():
    keras.utils.set_random_seed(0)
    made = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(12),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(optimizer=keras.optimizers.Adam(1e-2, weight_decay=1e-3), loss=loss, metrics=["accuracy"])
    return made


def fit(made, *callbacks, **settings):
    keras.utils.set_random_seed(1)
    usual = {"epochs": 2, "batch_size": 16, "verbose": 0, "validation_data": (X[96:], Y[96:])}
    return made.fit(X[:96], Y[:96], callbacks=list(callbacks), **{**usual, **settings})


def moments(path):
    return [(record.epoch, record.step) for record in phiscope.open_run(path).records]


def test_one_line_gives_the_run_with_fits_own_validation_data(tmp_path):
    observer = KerasObserver(run=tmp_path / "mine")
    made = model()
    fit(made, observer)
    run = phiscope.open_run(observer.path)
    assert (run.status, run.splits) == ("completed", ("validation",))
    assert moments(observer.path) == [(0.0, 0), (1.0, 6), (2.0, 12)]
    assert [record.measurement().n_samples for record in run.records] == [64, 64, 64]
    assert set(run.records[1].scalars) == {"accuracy", "loss", "val_accuracy", "val_loss"}
    assert run.header["data"] == "fit's own validation data"
    assert run.header["settings"] == {
        "epochs": 2,
        "steps_per_epoch": 6,
        "optimizer": "Adam",
        "learning_rate": 0.01,
        "weight_decay": 0.001,
        "loss": "SparseCategoricalCrossentropy",
    }
    expected = phiscope.measure(made, (torch.from_numpy(X[96:]), torch.from_numpy(Y[96:])))
    assert run.records[-1].numbers()["effective_dimension"] == pytest.approx(expected["effective_dimension"], rel=1e-6)


@pytest.mark.parametrize("background", [False, True])
def test_the_training_ends_bit_for_bit_as_without(tmp_path, background):
    alone, observed = model(), model()
    fit(alone)
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    step = observed.train_function
    fit(observed, KerasObserver(run=tmp_path / "mine", background=background))
    assert all(np.array_equal(a, b) for a, b in zip(alone.get_weights(), observed.get_weights(), strict=True))
    assert torch.equal(state[0], torch.get_rng_state())
    assert np.array_equal(state[1], np.random.get_state()[1])
    assert not any(module._forward_pre_hooks for module in observed.modules())
    assert step is None
    assert "watched" not in observed.train_function.__qualname__


def test_validation_split_and_steps(tmp_path):
    observer = KerasObserver(run=tmp_path / "mine", every_steps=4)
    fit(model(), observer, validation_data=None, validation_split=0.25)
    run = phiscope.open_run(observer.path)
    assert run.records[0].measurement().n_samples == 24
    assert run.unit == "step"
    assert [record.at for record in run.records] == [0, 4, 8, 10]
    assert "val_loss" in run.records[-1].scalars


def test_a_fit_that_goes_on_goes_on_in_its_run(tmp_path):
    made = model()
    first = KerasObserver(run=tmp_path / "mine")
    fit(made, first)
    fit(made, KerasObserver(run=tmp_path / "mine", resume=True), initial_epoch=2, epochs=4)
    assert moments(first.path) == [(0.0, 0), (1.0, 6), (2.0, 12), (3.0, 18), (4.0, 24)]
    assert phiscope.open_run(first.path).branches == (0,)
    second = KerasObserver(run=tmp_path / "mine")
    fit(model(), second)
    assert second.path == tmp_path / "mine-2"


class Rows(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return X[index * 16 : index * 16 + 16], Y[index * 16 : index * 16 + 16]

    def on_epoch_end(self):
        raise AssertionError("the observer counted an epoch")


class Held(Rows):
    """Keras itself counts the epochs of this one."""

    def on_epoch_end(self):
        pass


@pytest.mark.skipif(not hasattr(keras.utils.PyDataset, "__iter__"), reason="this Keras cannot walk through its data")
def test_a_data_set_of_keras_is_read_by_its_numbers(tmp_path):
    for name, data in {"own": None, "given": Rows()}.items():
        observer = KerasObserver(data, run=tmp_path / name)
        made = model()
        keras.utils.set_random_seed(1)
        made.fit(X[:96], Y[:96], verbose=0, validation_data=Held() if data is None else None, callbacks=[observer])
        records = phiscope.open_run(observer.path).records
        assert [record.measurement().n_samples for record in records] == [64, 64]


def test_no_validation_data_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"pass KerasObserver\(probe_data="):
        fit(model(), KerasObserver(run=tmp_path / "mine"), validation_data=None)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [(ValueError("no bread"), "failed", "ValueError: no bread"), (KeyboardInterrupt(), "interrupted", "")],
)
def test_a_failing_step_is_said_and_not_hidden(tmp_path, error, status, reason):
    made = model()

    def fail(module, args):
        if module.training and int(made.optimizer.iterations) >= 8:
            raise error

    made.register_forward_pre_hook(fail)
    observer = KerasObserver(run=tmp_path / "mine")
    with pytest.raises(type(error)):
        fit(made, observer)
    run = phiscope.open_run(observer.path)
    assert (run.status, run.reason, len(run.records)) == (status, reason, 2)


class Fails(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise ValueError("no bread")


def test_a_failure_elsewhere_is_said_in_a_block(tmp_path):
    observer = KerasObserver(run=tmp_path / "mine")
    with pytest.raises(ValueError, match="no bread"), observer:
        fit(model(), observer, Fails())
    assert phiscope.open_run(observer.path).status == "failed"


def test_an_alert_stops_the_fit(tmp_path):
    alert = phiscope.Alert("effective_dimension", below=1e9, patience=2, then="stop")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="alert:")
        history = fit(model(), KerasObserver(run=tmp_path / "mine", alerts=[alert]), epochs=50)
    assert len(history.epoch) == 1


@pytest.mark.parametrize(("backend", "name"), [("tensorflow", "TensorFlow"), ("jax", "JAX")])
def test_a_backend_that_is_not_installed_is_one_sentence(backend, name, tmp_path):
    """Keras takes TensorFlow unless told otherwise, and reads its choice once in a process."""
    if find_spec(backend):
        pytest.skip(f"{name} is installed")
    code = "from phiscope.integrations import KerasObserver"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith(f"phiscope.errors.InputError: Keras is set to run on {name}, which is not installed")
    assert "set KERAS_BACKEND=torch" in last


def test_what_keras_itself_lacks_is_said_in_its_own_words(monkeypatch):
    def lacking(name):
        raise ModuleNotFoundError("No module named 'h5py'", name="h5py")

    monkeypatch.setattr("phiscope.integrations.import_module", lacking)
    with pytest.raises(ModuleNotFoundError, match="h5py"):
        _ = phiscope.integrations.KerasObserver


def test_another_backend_is_one_sentence(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="Keras runs on jax, and phiscope measures torch networks"):
        KerasObserver(run="x")


class Summing(keras.Model):
    """Takes several inputs in the form that a network of one's own likes."""

    def __init__(self, form):
        super().__init__()
        self.form, self.body, self.head = form, keras.layers.Dense(12, activation="relu"), keras.layers.Dense(3)

    def call(self, inputs, training=False):
        one, other = inputs.values() if isinstance(inputs, dict) else inputs
        return self.head(self.body(one + 2 * other))


def functional():
    left, right = keras.Input((5,), name="left"), keras.Input((5,), name="right")
    hidden = keras.layers.Dense(12, activation="relu")(keras.layers.Concatenate()([left, right]))
    return keras.Model([left, right], keras.layers.Dense(3)(hidden))


SEVERAL = {"list": lambda x: [x, -x], "mapping": lambda x: {"left": x, "right": -x}}


@pytest.mark.parametrize("form", SEVERAL)
@pytest.mark.parametrize("kind", ["functional", "subclass"])
def test_several_inputs_are_taken_as_keras_takes_them(tmp_path, kind, form):
    keras.utils.set_random_seed(0)
    made, inputs = functional() if kind == "functional" else Summing(form), SEVERAL[form]
    made.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    observer = KerasObserver(run=tmp_path / "mine")
    made.fit(
        inputs(X[:96]),
        Y[:96],
        validation_data=(inputs(X[96:]), Y[96:]),
        epochs=1,
        verbose=0,
        callbacks=[observer],
    )
    body = keras.Model(made.inputs, made.layers[-2].output) if kind == "functional" else None
    rest = inputs(X[96:])
    one, other = rest.values() if isinstance(rest, dict) else rest
    features = body([one, other]) if body is not None else made.body(one + 2 * other)
    by_hand = phiscope.diagonalize(features.detach(), targets=Y[96:])
    found = phiscope.open_run(observer.path).records[-1].numbers()
    assert found["effective_dimension"] == pytest.approx(by_hand["effective_dimension"], rel=1e-5)
    # The same outside of a training, and as one mapping with the labels inside.
    torches = [torch.from_numpy(np.asarray(part)) for part in (one, other)]
    given = dict(zip(("left", "right"), torches, strict=True)) if form == "mapping" else tuple(torches)
    again = phiscope.measure(made, (given, torch.from_numpy(Y[96:])))
    assert again["effective_dimension"] == pytest.approx(by_hand["effective_dimension"], rel=1e-5)
    if kind == "functional" and form == "mapping":
        named = phiscope.measure(made, [{**given, "labels": torch.from_numpy(Y[96:])}])
        assert named.to_dict() == pytest.approx(again.to_dict(), rel=1e-6)


def test_of_several_outputs_one_is_chosen_with_its_targets(tmp_path):
    keras.utils.set_random_seed(0)
    entry = keras.Input((5,))
    hidden = keras.layers.Dense(12, activation="relu")(entry)
    made = keras.Model(entry, [keras.layers.Dense(3, name="kind")(hidden), keras.layers.Dense(1, name="size")(hidden)])
    made.compile("adam", [keras.losses.SparseCategoricalCrossentropy(from_logits=True), "mse"])

    def trained(**settings):
        observer = KerasObserver(run=tmp_path / "mine", **settings)
        data = (X[96:], [Y[96:], X[96:, 0]])
        made.fit(X[:96], [Y[:96], X[:96, 0]], validation_data=data, epochs=1, verbose=0, callbacks=[observer])
        return phiscope.open_run(observer.path).records[-1]

    with pytest.raises(InputError, match=r"targets are a tuple of 2 ndarray.*targets=lambda batch"):
        trained(head="kind")
    record = trained(head="kind", targets=lambda batch: batch[1][0])
    assert record.measurement().n_classes == 3
    assert record.measurement().n_samples == 64
