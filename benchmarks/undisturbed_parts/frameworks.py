"""Settings in which a framework has the loop: Lightning, the Trainer of transformers, accelerate, Keras."""

from __future__ import annotations

import os
import random
import tempfile
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from undisturbed_parts.callbacks import (
    accelerate_backward,
    heard,
    keras_callback,
    lightning_callback,
    trainer_callback,
)
from undisturbed_parts.loops import EPOCHS, BatchNorm, Plain
from undisturbed_parts.networks import BATCH, CLASSES, SAMPLES, X, Y, probe_loader
from undisturbed_parts.traces import Left
from undisturbed_parts.watches import Scene, Watch


class Lightning(BatchNorm):
    """A LightningModule and its Trainer."""

    on_cards = False

    key, title = "lightning", "Lightning"
    about = "`Trainer.fit` of a LightningModule with batch norm and dropout"

    def run(self, watch: Watch) -> Left:
        """By the framework."""
        import lightning.pytorch as lightning

        class Module(lightning.LightningModule):
            def __init__(self, network: nn.Module) -> None:
                super().__init__()
                self.network = network

            def training_step(self, batch: Any, index: int) -> Tensor:
                with heard(watch, batch):
                    loss = nn.functional.cross_entropy(self.network(batch[0]), batch[1])
                watch.lost(loss)
                return loss

            def on_fit_start(self) -> None:
                # Before it begins Lightning draws from Python's random state for something of its own.
                random.seed(0)

            def configure_optimizers(self) -> Any:
                return torch.optim.AdamW(self.parameters(), lr=1e-2)

        network, loader = self.fresh(), self.loader()
        module = Module(network)
        callback = lightning_callback(watch, self.scene(network, loader))
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        with warnings.catch_warnings():
            # It recommends more worker processes for the loader.
            warnings.simplefilter("ignore")
            trainer = lightning.Trainer(
                max_epochs=EPOCHS,
                accelerator="cpu",
                devices=1,
                callbacks=[callback],
                enable_model_summary=False,
                **quiet,
            )
            trainer.fit(module, loader)
        return Left(network=network, modules={"module": module}, optimizers=list(trainer.optimizers))


class Trainer(Plain):
    """A small BERT that classifies made sequences."""

    on_cards = False

    key, title = "trainer", "Trainer of transformers"
    about = "`Trainer.train` of a small BERT with dropout that classifies sequences"

    def fresh(self) -> nn.Module:
        """Two layers of 16."""
        from transformers import BertConfig, BertForSequenceClassification

        config = BertConfig(
            vocab_size=40,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            num_labels=CLASSES,
        )
        return BertForSequenceClassification(config).to(self.device)

    def run(self, watch: Watch) -> Left:
        """By the framework."""
        import transformers

        class Heard(transformers.Trainer):
            def compute_loss(self, model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
                with heard(watch, dict(inputs)):
                    told = super().compute_loss(model, inputs, *more, **named)
                watch.lost(told[0] if isinstance(told, tuple) else told)
                return told

        network, rows = self.fresh(), sequences(SAMPLES, seed=2)
        with tempfile.TemporaryDirectory() as folder:
            arguments = transformers.TrainingArguments(
                output_dir=folder,
                num_train_epochs=EPOCHS,
                per_device_train_batch_size=BATCH,
                learning_rate=1e-2,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                use_cpu=True,
                dataloader_pin_memory=False,
            )
            trainer = Heard(model=network, args=arguments, train_dataset=rows)
            scene = self.sequence_scene(network, trainer.get_train_dataloader())
            trainer.add_callback(trainer_callback(watch, scene, SAMPLES // BATCH))
            trainer.remove_callback(transformers.PrinterCallback)
            trainer.train()
        states = {"rates": trainer.lr_scheduler}
        return Left(network=network, optimizers=[trainer.optimizer.optimizer], states=states)

    def sequence_scene(self, network: nn.Module, loader: Any) -> Scene:
        """What whoever looks on gets."""

        def call(model: nn.Module, raw: Any) -> Any:
            return model(**{name: value.to(self.device) for name, value in raw.items() if name != "labels"})

        probe = DataLoader(sequences(60, seed=3), batch_size=20)
        example = next(iter(DataLoader(sequences(16, seed=2), batch_size=16, generator=torch.Generator())))
        return Scene(
            model=network,
            network=network,
            make=self.fresh,
            head="classifier",
            probe=probe,
            loader=loader,
            example=example,
            more={},
            call=call,
        )


def sequences(n: int, seed: int) -> list[dict[str, Any]]:
    """Sequences of 8 tokens whose first one tells the class."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(CLASSES, 40, (n, 8), generator=generator)
    tokens[:, 0] = torch.arange(n) % CLASSES
    return [{"input_ids": row, "attention_mask": torch.ones_like(row), "labels": int(row[0])} for row in tokens]


class Accelerate(BatchNorm):
    """A loop of one's own, with network, optimizer and loader prepared by accelerate."""

    on_cards = False

    key, title = "accelerate", "accelerate"
    about = "a loop with `Accelerator.prepare` and bf16; accelerate replaces the network's forward"

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Prepared later, together with the optimizer."""
        from accelerate import Accelerator

        self.accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        self.backward = accelerate_backward(self.accelerator)
        return self.accelerator.prepare(network)

    def prepare(self, network: nn.Module) -> None:
        """The optimizer, too."""
        self.optimizer = self.accelerator.prepare(self.optimizer)

    def loader(self) -> DataLoader[Any]:
        """Prepared, too."""
        return self.accelerator.prepare(super().loader())

    def step(self, watch: Watch, x: Tensor, y: Tensor, index: int, epoch: int) -> None:
        """With accelerate's backward."""
        self.optimizer.zero_grad()
        with heard(watch, (x, y)):
            loss = self.loss(x, y)
        watch.lost(loss)
        self.backward(loss)
        if index == 2:
            watch.record(epoch + 0.5)
        self.optimizer.step()

    def left(self, network: nn.Module) -> Left:
        """With the wrapped optimizer."""
        return Left(network=network, optimizers=[self.optimizer.optimizer])


class Keras(Plain):
    """A network of Keras with torch inside."""

    on_cards = False

    key, title = "keras", "Keras"
    about = "`model.fit` with torch as Keras' backend, dropout and batch norm"

    def fresh(self) -> Any:
        """Dense layers."""
        keras = _keras()
        # Keras numbers the layers of a process; a fresh network has to have the names that the trained one had.
        keras.backend.clear_session()
        layers = keras.layers
        x = inputs = keras.Input((36,))
        for part in (layers.Dense(24), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.3)):
            x = part(x)
        return keras.Model(inputs, layers.Dense(CLASSES, name="head")(x))

    def run(self, watch: Watch) -> Left:
        """By the framework."""
        keras = _keras()
        keras.utils.set_random_seed(0)

        class Heard(keras.Model):
            def train_step(self, data: Any) -> Any:
                self.batch = data
                return super().train_step(data)

            def __call__(self, *args: Any, **named: Any) -> Any:
                # Around the forward pass alone: a whole train_step also moves the weights, which the features of a
                # batch then no longer fit.
                if not named.get("training"):
                    return super().__call__(*args, **named)
                with heard(watch, self.batch):
                    return super().__call__(*args, **named)

        plain = self.fresh()
        model = Heard(plain.inputs, plain.outputs)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=loss)
        rows = torch.utils.data.TensorDataset(X.flatten(1), Y)
        loader = DataLoader(rows, batch_size=BATCH, shuffle=True)
        model.fit(loader, epochs=EPOCHS, verbose=0, callbacks=[keras_callback(watch, self.keras_scene(model, loader))])
        states = {one.path: _numbers(one) for one in [*model.variables, *model.optimizer.variables]}
        return Left(network=model, states=states)

    def keras_scene(self, model: Any, loader: Any) -> Scene:
        """What whoever looks on gets."""
        probe = [(x.flatten(1), y) for x, y in probe_loader()]
        return Scene(
            model=model,
            network=model,
            make=self.fresh,
            head="head",
            probe=probe,
            loader=loader,
            example=(X[:16].flatten(1), Y[:16]),
            more={},
            call=lambda fresh, raw: fresh(raw[0], training=False),
        )


def _keras() -> Any:
    # Keras reads its backend once, when it is imported.
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    return keras


def _numbers(variable: Any) -> np.ndarray:
    return np.asarray(variable.numpy())
