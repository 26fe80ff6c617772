"""Every number, spectrum, eigenvector, warning and reason of many data sets: what a move of code must not change.

    python tests/helpers/fingerprints.py                  # one line of JSON: {data set: {what: hash}}
    python tests/helpers/fingerprints.py --against OTHER  # with another checkout; exit 1 where a bit differs
    python tests/helpers/fingerprints.py --store          # write what tests/whole/test_fingerprints.py compares with

Only public names are used, so that checkouts of different layouts can be compared. Hashes belong to one machine, as
another processor adds in another order; what is stored are numbers to nine digits and texts.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np

from cases import CASES

HERE = Path(__file__).resolve()
SOURCE = HERE.parents[2] / "src"
STORED = HERE.parents[1] / "whole" / "fingerprints.json"

DIGITS = 9
"""Significant digits of stored numbers."""

Hashes = dict[str, str]
Facts = dict[str, dict[str, object]]
"""``numbers``, ``absent`` and ``warnings`` of one data set."""


def digest(value: object) -> str:
    """A hash of arrays to the bit and of everything else by its text."""
    if isinstance(value, np.ndarray):
        layout = str((value.shape, value.dtype.str)).encode()
        return hashlib.sha256(layout + np.ascontiguousarray(value).tobytes()).hexdigest()
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, dict):
        parts = {str(key): digest(entry) for key, entry in value.items()}
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    if is_dataclass(value):
        return digest({row.name: getattr(value, row.name) for row in fields(value)})
    if isinstance(value, tuple | list):
        return digest(dict(enumerate(value)))
    return hashlib.sha256(str(value).encode()).hexdigest()


def signed(vectors: np.ndarray | None) -> np.ndarray | None:
    """Eigenvectors with their largest entry positive: a sign is nobody's news."""
    if vectors is None or not vectors.size:
        return vectors
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    return vectors * np.where(largest < 0, -1.0, 1.0)


def hashes_of(m: object) -> Hashes:
    """What one measurement says, each thing as a hash."""
    found: Hashes = {f"number {name}": digest(value) for name, value in m.numbers.items()}
    found |= {f"absent {name}": digest(reason) for name, reason in m.absent.items()}
    found |= {"warnings": digest(m.warnings), "evidence": digest(m.evidence), "table": digest(str(m))}
    for centered in (False, True):
        spectrum = m.spectrum(centered=centered)
        for row in fields(spectrum):
            value = getattr(spectrum, row.name)
            found[f"{'centered' if centered else 'raw'} {row.name}"] = digest(
                signed(value) if row.name == "eigenvectors" else value
            )
    for name in ("feature_mean", "class_means", "class_weights", "tolerance_curve", "target_squares"):
        found[name] = digest(getattr(m, name))
    for name in m.numbers:
        try:
            found[f"interval {name}"] = digest(m.interval(name))
        except Exception as refusal:  # a refusal is a fact as well
            found[f"interval {name}"] = digest(f"{type(refusal).__name__}: {refusal}")
    return found


def facts_of(m: object) -> Facts:
    """What one measurement says in numbers and sentences."""
    return {
        "numbers": {name: rounded(value) for name, value in m.numbers.items()},
        "absent": dict(m.absent),
        "warnings": list(m.warnings),
    }


def rounded(value: float) -> float:
    """To so many significant digits as are stored."""
    return float(f"{value:.{DIGITS}g}")


def gaussian(n: int, p: int, C: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Classes in space, and their labels."""
    g = np.random.default_rng(seed)
    labels = g.integers(0, C, n)
    return g.normal(size=(C, p))[labels] + g.normal(size=(n, p)) * np.linspace(0.2, 1.4, p), labels


def arrays(folder: Path) -> dict[str, object]:
    """Data sets as arrays, on disk, wide, fast and as a kernel."""
    import phiscope

    made: dict[str, object] = {}
    for name, case in CASES.items():
        made[name] = phiscope.diagonalize(**case)
    features, labels = gaussian(700, 40, 6)
    np.save(folder / "features.npy", features.astype(np.float32))
    stored = np.load(folder / "features.npy", mmap_mode="r")
    made["memory map"] = phiscope.diagonalize(stored, targets=labels)
    made["half precision"] = phiscope.diagonalize(features.astype(np.float16), targets=labels)
    made["fast"] = phiscope.diagonalize(features, targets=labels, precision="fast")
    made["every shard"] = phiscope.diagonalize(features, targets=labels, intervals=True)
    made["no shard"] = phiscope.diagonalize(features, targets=labels, intervals=False)
    made["leading 5 of 40"] = phiscope.diagonalize(features, targets=labels, k=5)
    made["kernel"] = phiscope.diagonalize_kernel(features[:90] @ features[:90].T, targets=labels[:90])
    wide, labels = gaussian(300, 2300, 5)
    made["leading 6 of 2300"] = phiscope.diagonalize(wide, targets=labels, k=6)
    made["300 of 2300"] = phiscope.diagonalize(wide, head=(wide[:5], None), targets=labels)
    import dask.array

    features, labels = gaussian(700, 40, 6)
    chunks = dask.array.from_array(features, chunks=(150, 40))
    made["dask"] = phiscope.diagonalize(chunks, targets=dask.array.from_array(labels, chunks=150))
    return made


def networks() -> dict[str, object]:
    """Networks and their layers."""
    import torch
    from torch import nn

    import phiscope

    torch.manual_seed(0)
    x, y = torch.randn(240, 1, 8, 8), torch.randint(0, 5, (240,))
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Dropout(0.2), nn.Linear(30, 5))
    conv = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 5)
    )
    made: dict[str, object] = {
        "network": phiscope.measure(plain, (x, y)),
        "convolutions": phiscope.measure(conv, (x, y)),
    }
    for name, m in phiscope.measure_layers(conv, (x, y)).items():
        made[f"layer {name}"] = m
    made["regression network"] = phiscope.measure(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.Tanh(), nn.Linear(20, 3)), (x, torch.randn(240, 3))
    )
    return made


def others() -> dict[str, object]:
    """Comparisons, restrictions, tracks and the tangent kernel."""
    import torch
    from torch import nn

    import phiscope

    features, labels = gaussian(300, 20, 4)
    c = phiscope.compare(features, np.tanh(features @ np.random.default_rng(0).normal(size=(20, 12))))
    found: dict[str, object] = {
        f"compare {name}": getattr(c, name) for name in ("cka", "cka_unbiased", "principal_angles")
    }
    found["compare overlap"] = np.abs(c.overlap)
    torch.manual_seed(1)
    x, y = torch.from_numpy(features).float(), torch.from_numpy(labels)
    net = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 4))
    m = phiscope.measure(net, (x, y))
    found["restriction"] = phiscope.restrict(m, (x, y), net)
    found["tangent"] = np.asarray(phiscope.tangent_kernel(net, x[:20]))
    values = m.eigenfunctions(features[:, :16])
    found["track"] = str(phiscope.track([values, values[:, ::-1]]))
    return found


def facts_of_others(found: dict[str, object]) -> Facts:
    """The numbers among them."""
    restriction, tangent = found["restriction"], found["tangent"]
    numbers = {
        "cka": found["compare cka"],
        "cka_unbiased": found["compare cka_unbiased"],
        "largest principal angle": found["compare principal_angles"].max(),
        "nc4": restriction.nc4,
        **{f"restricted loss at k = {k}": value for k, value in enumerate(restriction.loss)},
        "trace of the tangent kernel": np.trace(tangent),
        "norm of the tangent kernel": np.linalg.norm(tangent),
    }
    return {"numbers": {name: rounded(value) for name, value in numbers.items()}, "absent": {}, "warnings": []}


def everything(kind: str) -> dict[str, Hashes] | dict[str, Facts]:
    """{data set: {what: hash}}, or {data set: numbers and texts}."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        made, further = arrays(Path(folder)) | networks(), others()
        if kind == "facts":
            return {name: facts_of(m) for name, m in made.items()} | {"others": facts_of_others(further)}
        hashed = {name: hashes_of(m) for name, m in made.items()}
        return hashed | {"others": {what: digest(value) for what, value in further.items()}}


def run(source: Path, kind: str = "hashes") -> dict[str, dict[str, object]]:
    """The fingerprints of the checkout whose package lies in `source`, from a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(HERE), "--here", kind], check=True, capture_output=True, text=True, env=environment
    )
    return json.loads(done.stdout)


def differences(ours: dict[str, Hashes], theirs: dict[str, Hashes]) -> list[str]:
    """What differs, a line each."""
    names = {(case, what) for side in (ours, theirs) for case, entries in side.items() for what in entries}
    return sorted(
        f"{case}: {what}" for case, what in names if ours.get(case, {}).get(what) != theirs.get(case, {}).get(what)
    )


def store() -> None:
    """Write the facts anew, one line for each thing, so that a change of one of them is a change of one line."""
    STORED.write_text(json.dumps(run(SOURCE, "facts"), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written: {STORED}; what changed on purpose belongs under 'Changed numbers' in CHANGELOG.md")


def main() -> None:
    """Print the hashes, compare with another checkout, or store the facts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="the folder of another checkout")
    parser.add_argument("--store", action="store_true", help=f"write {STORED.name} anew")
    parser.add_argument("--here", choices=["hashes", "facts"], help="of the phiscope that Python finds")
    asked = parser.parse_args()
    if asked.store:
        store()
    elif asked.against is None:
        print(json.dumps(everything(asked.here) if asked.here else run(SOURCE)))
    else:
        ours, theirs = run(SOURCE), run(asked.against / "src")
        found = differences(ours, theirs)
        print(f"{len(ours)} data sets, {sum(map(len, ours.values()))} values, {len(found)} differ")
        print(*found, sep="\n", end="\n" if found else "")
        sys.exit(bool(found))


if __name__ == "__main__":
    main()
