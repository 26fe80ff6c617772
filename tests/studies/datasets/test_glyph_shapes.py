"""Characters as bitmaps: the fonts, no character cut off, strokes."""

import hashlib

import numpy as np
import pytest

from phiscope.errors import InputError
from phiscope.studies.datasets import glyph_shapes
from phiscope.studies.datasets.glyph_shapes import CHARACTERS, FACES, Shapes, font_files


def checksum(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def test_the_fonts_are_these():
    """Other fonts are other data: matplotlib has shipped the same files since 2.0."""
    told = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:8] for path in font_files()}
    assert list(told) == [f"{face}.ttf" for face in FACES]
    assert checksum(np.frombuffer("".join(told.values()).encode(), dtype=np.uint8)) == "1463c06e69e71f56"


@pytest.mark.parametrize("size", [12, 28, 64])
def test_no_character_is_cut_off_or_missing(size):
    shapes = Shapes(size)
    for face in range(len(FACES)):
        seen = set()
        for character in CHARACTERS:
            ink = np.asarray(shapes.bitmap(face, character, 2))
            assert ink.any()
            assert not ink[[0, -1]].any()
            assert not ink[:, [0, -1]].any()
            seen.add(ink.tobytes())
        assert len(seen) >= 60  # at small sizes a capital O and a zero of some fonts may be one picture


def test_strokes_thicken():
    shapes = Shapes(28)
    ink = [int(np.asarray(shapes.bitmap(0, "S", stroke)).sum()) for stroke in range(3)]
    assert ink[0] < ink[1] < ink[2]


def test_a_matplotlib_without_fonts(monkeypatch, tmp_path):
    import matplotlib

    monkeypatch.setattr(matplotlib, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(InputError, match=r"the fonts DejaVuSans.ttf, .* comes with its fonts"):
        glyph_shapes.font_files()
