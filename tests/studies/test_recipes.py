import dataclasses
import json

import pytest

from phiscope.errors import InputError
from phiscope.studies import STUDIES
from phiscope.studies.recipes import OptimizerSettings


def test_the_studies_have_their_names():
    assert list(STUDIES) == [
        "digits-cnn", "digits-fcn", "digits-frozen", "fashion-cnn", "fashion-fcn", "diabetes-mlp", "modular-addition",
        "width-theory", "pruning", "distortion",
    ]  # fmt: skip
    assert all(study.name == name for name, study in STUDIES.items())
    assert all(study.title and "\n" not in study.title and study.description for study in STUDIES.values())


def test_studies_are_configuration_that_cannot_change():
    study = STUDIES["digits-cnn"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        study.epochs = 3
    with pytest.raises(TypeError):
        STUDIES["mine"] = study


def test_frozen_and_trained_network_differ_in_nothing_but_the_training():
    cnn, frozen = STUDIES["digits-cnn"], STUDIES["digits-frozen"]
    assert (cnn.data, cnn.network, cnn.batch_size) == (frozen.data, frozen.network, frozen.batch_size)
    assert frozen.freeze_features
    assert not cnn.freeze_features


def test_modular_addition_is_the_published_setting():
    study = STUDIES["modular-addition"]
    assert (study.data.modulus, study.data.train_share, study.batch_size) == (97, 0.5, 512)
    assert (study.network.width, study.network.heads, study.network.layers) == (128, 4, 2)
    optimizer = study.optimizer
    assert (optimizer.learning_rate, optimizer.weight_decay, optimizer.betas) == (1e-3, 1.0, (0.9, 0.98))


@pytest.mark.parametrize(("name", "few", "many"), [("digits-cnn", 21, 21), ("modular-addition", 20, 45)])
def test_how_many_records_come_out(name, few, many):
    study = STUDIES[name]
    records = [epoch for epoch in range(study.epochs + 1) if study.is_recorded(epoch, study.epochs)]
    assert records[0] == 0
    assert few <= len(records) <= many


def test_the_last_epoch_is_always_recorded():
    study = STUDIES["modular-addition"]
    assert study.is_recorded(7, last=7)
    assert not study.is_recorded(7, last=8)


def test_a_rate_rises_and_falls():
    settings = OptimizerSettings(learning_rate=1.0, warmup_steps=4, final_share=0.2)
    rates = [settings.learning_rate_at(step, 10) for step in range(1, 11)]
    # rises to 4/4 while falling by 0.08 a step
    assert rates == pytest.approx([0.25 * 0.92, 0.5 * 0.84, 0.75 * 0.76, 0.68, 0.6, 0.52, 0.44, 0.36, 0.28, 0.2])
    assert {OptimizerSettings().learning_rate_at(step, 10) for step in (1, 10)} == {1e-3}


def test_settings_can_be_written_down():
    for study in STUDIES.values():
        if study.name == "width-theory":
            continue
        told = json.loads(json.dumps(study.settings(), allow_nan=False))
        assert told["optimizer"] == ("AdamW" if study.name == "modular-addition" else "Adam")
        assert told["learning_rate"] == study.optimizer.learning_rate
    assert "test_accuracy >= 0.99" in STUDIES["modular-addition"].settings()["stops_when"]


@pytest.mark.parametrize("name", ["batch_size", "epochs", "every"])
def test_zero_is_refused(name):
    with pytest.raises(InputError, match="1 or more"):
        dataclasses.replace(STUDIES["digits-cnn"], **{name: 0})
