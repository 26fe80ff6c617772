"""Keras 3 on torch: one line in fit's callbacks; a regression, observed on fit's own validation data.

python examples/keras_callback.py [FOLDER]      needs the extras keras, studies and report
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from sklearn.datasets import load_diabetes

import phiscope
from phiscope.integrations import KerasObserver


def main(folder: str = "runs/keras") -> None:
    """Train, observe, report."""
    keras.utils.set_random_seed(0)
    x, y = load_diabetes(return_X_y=True, scaled=True)
    x, y = (20 * x).astype("float32"), ((y - y.mean()) / y.std()).astype("float32")[:, None]
    model = keras.Sequential(
        [
            keras.Input((10,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
    observer = KerasObserver(run=folder, every="log")
    model.fit(x, y, epochs=20, batch_size=32, validation_split=0.3, callbacks=[observer], verbose=0)
    run = phiscope.open_run(observer.path)
    for record in (record for record in run.records if record.splits):
        numbers = record.numbers()
        print(
            f"epoch {record.epoch:2g}  effective dimension {numbers['effective_dimension_centered']:.2f}",
            record.scalars,
        )
    print("page:", phiscope.report([run], Path(observer.path) / "report.html"))


if __name__ == "__main__":
    main(*sys.argv[1:])
