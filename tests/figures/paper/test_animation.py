"""A figure that moves: a picture for each record, on axes that stand still."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import phiscope
from phiscope.errors import InputError, RunError, UnknownNameError
from phiscope.figures.paper.animation import LAST, MOVING, _still, animated
from phiscope.figures.paper.run_sheets import run_sheet
from small_runs import written_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return phiscope.open_run(written_run(tmp_path_factory.mktemp("runs") / "mine", "mine", epochs=3))


@pytest.mark.parametrize(("ending", "name"), [*(("gif", name) for name in MOVING), ("apng", "why"), ("webp", "why")])
def test_every_record_is_one_picture(run, tmp_path, name, ending):
    path = animated(run, name, tmp_path / f"a.{ending}", seconds=0.2)
    with Image.open(path) as picture:
        assert picture.n_frames == 3
        assert picture.size[0] == pytest.approx({"why": 3.35, "spectrum": 7.0, "curves": 7.0}[name] * 110, abs=2)
        frames = []
        for index in range(3):
            picture.seek(index)
            frames.append(np.asarray(picture.convert("RGB")))
        assert picture.info["duration"] == pytest.approx(200 * LAST)
    assert not np.array_equal(frames[0], frames[1])


def test_axes_stand_still(run):
    sheets = _still([run_sheet(run, "spectrum", epoch=record.at) for record in run.records])
    spectra = [sheet.parts[0] for sheet in sheets]
    assert len({(panel.y.low, panel.y.high) for panel in spectra}) == 1
    lowest = min(min(line.y) for panel in spectra for line in panel.lines)
    assert spectra[0].y.low <= lowest


def test_wrong_use_is_one_sentence(run, tmp_path):
    with pytest.raises(UnknownNameError, match="figure that moves"):
        animated(run, "gallery", tmp_path / "a.gif")
    with pytest.raises(InputError, match="ends in no animated format"):
        animated(run, "spectrum", tmp_path / "a.pdf")
    with pytest.raises(InputError, match="above 0"):
        animated(run, "spectrum", tmp_path / "a.gif", seconds=0)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(phiscope.errors.RunWriteError, match="cannot be written"):
        animated(run, "spectrum", tmp_path / "file" / "a.gif")
    assert animated(run, "spectrum", tmp_path / "new" / "deep" / "a.gif").exists()
    single = phiscope.open_run(written_run(tmp_path / "single", "single", epochs=1))
    with pytest.raises(RunError, match="a movement takes two"):
        animated(single, "spectrum", Path("a.gif"))
