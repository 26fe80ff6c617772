"""Undisturbed trainings: observers are not seen, everybody who disturbs is, and the page says what was found."""

import copy
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
EVIDENCE = ROOT / "docs" / "evidence"


@pytest.fixture
def part(monkeypatch):
    """One of the benchmark's own modules, by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return lambda name: importlib.import_module(f"undisturbed_parts.{name}")


@pytest.mark.parametrize(
    "key", ["batch-norm", *(pytest.param(key, marks=pytest.mark.slow) for key in ("accumulation", "checkpointing"))]
)
def test_observers_are_not_seen_and_everybody_clumsy_is(part, key):
    told = part("rounds").looked_at(part("settings").BY_KEY[key]())
    assert {name: cell["verdict"] for name, cell in told["cells"].items()} == {
        "Observer": "identical",
        "background": "identical",
        "Passive": "identical",
    }, told["cells"]
    # So many records were measured, each with features that a plain forward pass gives.
    assert [cell["records"] for cell in told["cells"].values()] == [7, 7, 6]
    assert [told["twin"], told["one hook"], told["afterwards"]] == ["", "", ""]
    assert len(told["controls"]) == 8
    assert [name for name, control in told["controls"].items() if not control["caught"]] == []


def test_an_observer_that_disturbs_is_said_to_differ(part, tmp_path):
    watches, rounds = part("watches"), part("rounds")

    class Drawing(watches.Observing):
        def _record(self, epoch):
            super()._record(epoch)
            torch.rand(1)

    told = rounds.looked_at(part("loops").Dropout(), observers=[Drawing], clumsy=[], folder=tmp_path)
    assert told["cells"]["Observer"]["verdict"] == "differs"
    assert {"weights", "losses", "random states"} <= told["cells"]["Observer"]["differs"].keys()
    assert told["afterwards"] == ""


def test_features_of_another_network_are_seen(part, tmp_path):
    watches, rounds = part("watches"), part("rounds")

    class Late(watches.Observing):
        """Says the weights of the moment before."""

        def _close(self):
            super()._close()
            self.snapshots = [self.snapshots[0], *self.snapshots[:-1]]

    told = rounds.looked_at(part("loops").Plain(), observers=[Late], clumsy=[], folder=tmp_path)["cells"]["Observer"]
    # Nothing was disturbed, and yet the features are not those of the network at that moment.
    assert (told["verdict"], told["differs"]) == ("differs", {})
    assert told["features"] == "features of record 1 differ from a plain forward pass"


def test_features_and_eigenvalues_are_compared(part):
    features = part("features")
    rows = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    centered = rows.astype(np.float64) - rows.astype(np.float64).mean(axis=0)
    eigenvalues = np.linalg.eigvalsh(centered.T @ centered / 30)[::-1]

    def reading(rows, eigenvalues=None):
        return features.Reading(features=rows, eigenvalues=eigenvalues)

    def said(records, plain):
        return features.disagreement(records, plain, whole=True)

    assert said([reading(rows, eigenvalues)], [reading(rows)]) is None
    assert said([], [reading(rows)]) == "no record was measured"
    assert said([reading(rows, eigenvalues)], []) == "1 records were measured, expected 0"
    assert "eigenvalues of record 0" in said([reading(rows, eigenvalues * (1 + 1e-8))], [reading(rows)])
    moved = rows.copy()
    moved[3, 2] = np.nextafter(moved[3, 2], np.float32(9))
    assert "features of record 0" in said([reading(rows, eigenvalues)], [reading(moved)])


def test_digests_tell_bits_apart(part):
    digest = part("traces").digest
    assert digest({"a": torch.zeros(2)}) == digest({"a": torch.zeros(2)})
    # Equal numbers, other bits.
    assert digest(torch.zeros(2)) != digest(-torch.zeros(2))
    others = [torch.zeros(2), torch.zeros(1, 2), torch.zeros(2).double(), np.zeros(2), [0.0, 0.0], {"a": 0.0}, None]
    assert len({digest(one) for one in others}) == len(others)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_a_card_that_is_not_there_is_one_sentence(part, capsys):
    part("page")  # the folder is on the path now
    assert importlib.import_module("undisturbed").main(["--device", "cuda"]) == 2
    assert (
        capsys.readouterr().err
        == "undisturbed: --device cuda needs an NVIDIA card that torch can use, and there is none\n"
    )


@pytest.fixture
def kept():
    """What the page in docs was made of."""
    return json.loads((EVIDENCE / "undisturbed.json").read_text(encoding="utf-8"))


def test_the_page_is_made_of_its_data_and_nothing_differs_there(part, kept):
    page = part("page")
    assert (EVIDENCE / "undisturbed.md").read_text(encoding="utf-8") == page.page(kept)
    assert page.problems(kept) == []
    assert [row["key"] for row in kept["settings"]] == list(part("settings").BY_KEY)


def test_what_differs_is_said_on_the_page_and_in_the_end(part, kept):
    page = part("page")
    worse = copy.deepcopy(kept)
    first, second, third, fourth, *_ = worse["settings"]
    first["cells"]["Observer"] |= {"verdict": "differs", "differs": {"weights": ["head.bias"]}}
    second["twin"] = "weights (head.bias)"
    third["controls"]["leaves a hook"]["caught"] = False
    for name in ("cells", "controls", "twin", "afterwards"):
        del fourth[name]
    fourth["error"] = "ImportError: no"
    told = " ".join(page.page(worse).split())
    assert "**1 differ**" in told
    assert "**differs**: weights (head.bias)" in told
    assert "**not comparable**: two trainings without an observer differ" in told
    assert "**did not end**: ImportError: no" in told
    assert f"**{len(kept['settings']) - 2} of {len(kept['settings']) - 1} settings**" in told
    assert len(page.problems(worse)) == 4


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_whole_matrix(tmp_path):
    command = [sys.executable, str(FOLDER / "undisturbed.py"), "--out", str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
