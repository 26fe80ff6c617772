"""Kept pictures on the page of a run: damage with its bands and its numbers, escaped, and nothing where nothing was."""

import json
import re

import pytest
import torch
from torch import nn

import phiscope
from phiscope.figures.kept import FOLDER
from phiscope.page import report
from phiscope.page.tried import tried_cards
from phiscope.surgery import damage


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    data = (torch.randn(150, 5), torch.arange(150) % 3)
    folder = tmp_path_factory.mktemp("kept") / "run"
    with phiscope.Observer(net, data, run=folder) as observer:
        m = observer.record(epoch=0)
        found = damage(net, data, m)
        # Also while the run is being written.
        found.keep(folder)
    return folder, found


def page_data(path):
    text = path.read_text("utf-8")
    return text, json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_damage_is_on_the_page_when_it_was_kept(kept, tmp_path):
    folder, found = kept
    text, data = page_data(report(folder, tmp_path / "page.html"))
    assert "What was tried on this network" in text
    assert "Without the k-th eigenfeature alone" in text
    assert "n = 150 samples" in text
    assert text.count('class="chart tried"') == len(data["tried"]) == 4
    band, line = data["tried"][0]["data"]
    assert line["y"] == pytest.approx(found.accuracy_lost[:, 0].tolist(), abs=1e-4)
    assert band["fill"] == "toself"
    assert max(band["y"]) == pytest.approx(found.accuracy_lost[:, 2].max(), abs=1e-4)
    assert f"<td>{found.accuracy_lost[0, 2]:.4g}</td>" in text


def test_a_page_without_kept_pictures_says_nothing_of_them(tmp_path):
    m = phiscope.diagonalize(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)))
    text, data = page_data(report(phiscope.write_run(tmp_path / "run", [(0, m)]), tmp_path / "page.html"))
    assert "What was tried" not in text
    assert data["tried"] == []


def test_what_cannot_be_read_is_a_sentence_and_titles_are_escaped(kept, tmp_path):
    folder, found = kept
    evil = "<script>alert(1)</script>"
    path = found.keep(folder, title=evil)
    broken = folder / FOLDER / "0099.json"
    broken.write_text('{"format": 1}')
    try:
        text, _ = page_data(report(folder, tmp_path / "page.html"))
        cards, specs = tried_cards({"a": phiscope.open_run(folder)})
    finally:
        path.unlink()
        broken.unlink()
    assert evil not in text
    assert "&lt;script&gt;alert(1)" in text
    assert [bool(card["problem"]) for card in cards] == [False, False, True]
    assert "is no picture" in cards[2]["problem"]
    assert len(specs) == 8
