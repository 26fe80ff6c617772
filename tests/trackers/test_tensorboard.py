"""TensorBoard's own writer writes, its own reader reads back."""

import html
import re

import numpy as np
import pytest

from phiscope.trackers import Place
from phiscope.trackers.tensorboard import TensorBoard, open_tensorboard
from tracker_logs import tensorboard_log, tensorboard_scalars

pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'phiscope[tensorboard]'")


def test_scalars_pictures_and_settings_come_back(tmp_path):
    tracker = open_tensorboard(Place(name="mine", folder=tmp_path))
    tracker.settings({"name": "mine", "rank_tolerance": 1e-4})
    tracker.scalars({"phiscope/train/nc1": 0.25}, 3)
    tracker.scalars({"phiscope/train/nc1": 0.5}, 7)
    tracker.picture("phiscope/train/spectrum", np.full((4, 6, 3), 200, np.uint8), 7)
    tracker.close("completed")
    folder = tmp_path / "tensorboard"
    assert tensorboard_scalars(folder)["phiscope/train/nc1"] == [(3, 0.25), (7, 0.5)]
    log = tensorboard_log(folder)
    (picture,) = log.Images("phiscope/train/spectrum")
    assert (picture.step, picture.width, picture.height) == (7, 6, 4)
    (table,) = log.Tensors("phiscope/settings/text_summary")
    assert b"| rank_tolerance | 0.0001 |" in table.tensor_proto.string_val[0]
    start = log.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"rank_tolerance" in start
    assert [path for path in tmp_path.iterdir() if path != folder] == []


@pytest.mark.filterwarnings("ignore:html5lib")  # TensorBoard's own, when it is imported
def test_a_setting_with_signs_of_markdown_is_shown_as_it_is(tmp_path):
    # Older ones need six there and do not ask for it.
    markdown_to_safe_html = pytest.importorskip("tensorboard.plugin_util").markdown_to_safe_html

    title = "left | right *bold* __init__ `code` [a](b) <b> & \\ rank_tolerance\n| 1 | 2 |"
    tracker = open_tensorboard(Place(name="mine", folder=tmp_path))
    tracker.settings({"title": title, "gallery": 4})
    tracker.close("completed")
    (table,) = tensorboard_log(tmp_path / "tensorboard").Tensors("phiscope/settings/text_summary")
    shown = html.unescape(markdown_to_safe_html(table.tensor_proto.string_val[0]))
    assert re.findall("<td>(.*)</td>", shown) == ["title", " ".join(title.split()), "gallery", "4"]


def test_somebodys_own_writer_stays_open_and_keeps_its_own_hyperparameters(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        tracker = TensorBoard(writer)
        tracker.settings({"name": "mine"})
        tracker.close("completed")
        writer.add_scalar("after", 1.0, 0)
    log = tensorboard_log(tmp_path)
    assert "after" in log.Tags()["scalars"]
    assert "_hparams_/session_start_info" not in log.summary_metadata
