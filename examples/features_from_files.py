"""Features from files: three epochs of another program's features, made into a run with its page.

python examples/features_from_files.py [FOLDER]      needs the extra report
"""

import sys
from pathlib import Path

import numpy as np

import phiscope


def write_features(folder: Path) -> None:
    """Stands for the other program (JAX, TensorFlow, MATLAB): features (n, p) and a head (C, p) for each epoch."""
    random = np.random.default_rng(0)
    classes = np.repeat(np.arange(5), 400)
    np.save(folder / "classes.npy", classes)
    for epoch, spread in enumerate((3.0, 1.0, 0.1)):
        means = 2 * np.eye(5, 40)
        features = means[classes] + spread * random.standard_normal((len(classes), 40))
        np.save(folder / f"features-{epoch}.npy", features.astype(np.float32))
        np.save(folder / f"head-{epoch}.npy", means - means.mean(axis=0))


def main(folder: str = "runs/files") -> None:
    """Diagonalize what lies in files, and write the run and its page."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    write_features(place)
    classes = np.load(place / "classes.npy")
    measured = []
    for epoch in range(3):
        # Opened, not read: rows come in pieces, so that features may be larger than memory.
        features = np.load(place / f"features-{epoch}.npy", mmap_mode="r")
        head = (np.load(place / f"head-{epoch}.npy"), None)
        measured.append((epoch, phiscope.diagonalize(features, head=head, targets=classes)))
        low, high = measured[-1][1].interval("effective_dimension")
        print(f"epoch {epoch}: effective dimension {low:.2f} to {high:.2f}, {measured[-1][1].regime}")
    run = phiscope.write_run(place / "run", measured, header={"title": "features from files"})
    print("page:", phiscope.report([run], place / "report.html"))


if __name__ == "__main__":
    main(*sys.argv[1:])
