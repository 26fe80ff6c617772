"""Gallery samples as one picture, or as a few words each."""

from __future__ import annotations

import numpy as np
import pytest

from phiscope.figures import as_images
from phiscope.page.gallery import input_words, looks_frame, sprite_of, target_words


def test_sprite_holds_every_sample_at_its_place() -> None:
    import base64
    import io

    from PIL import Image

    images = as_images(np.arange(5 * 4 * 4, dtype=float).reshape(5, 4, 4))
    assert images is not None
    sprite = sprite_of(images)
    assert (sprite.columns, sprite.rows, sprite.width, sprite.height) == (3, 2, 4, 4)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(sprite.uri.split(",")[1]))))
    np.testing.assert_array_equal(sheet[4:8, 4:8], images[4, :, :, 0])
    assert sheet[4:8, 8:12].max() == 0


@pytest.mark.parametrize("shape", [(7, 6, 5), (7, 1, 6, 5), (7, 3, 6, 5), (7, 6, 5, 3)])
def test_image_layouts(shape: tuple[int, ...]) -> None:
    images = as_images(np.random.default_rng(0).random(shape))
    assert images is not None
    assert images.shape[:3] == (7, 6, 5)


def test_large_images_are_averaged_down_and_other_arrays_are_words() -> None:
    sprite = sprite_of(np.full((2, 200, 100, 3), 9, dtype=np.uint8))
    assert max(sprite.width, sprite.height) <= 48
    assert as_images(np.zeros((3, 10))) is None
    assert as_images(np.full((2, 3, 3), np.nan)) is not None
    assert input_words(np.array([[1, 2, 97]])) == ["(1, 2, 97)"]
    assert input_words(np.zeros((2, 100))) == ["sample 0", "sample 1"]
    assert target_words(np.array([1, 5]), ("no", "yes"), 2) == ["yes", "5"]
    assert target_words(np.array([[0.5], [1.25]]), None, 2) == ["0.5", "1.25"]


def test_rows_of_a_table_have_names() -> None:
    assert input_words(np.array([[1.5, 2.0]]), ["age", "height"]) == ["age 1.5, height 2"]
    # Names that do not fit say nothing.
    assert input_words(np.array([[1.5, 2.0]]), ["age"]) == ["(1.5, 2)"]


def test_damaged_gradients_are_left_out() -> None:
    whole = {
        "look_samples": np.array([[0, 1]]),
        "look_scale": np.array([0.5]),
        "look_cells": np.ones((1, 2, 3), dtype=np.int8),
    }
    frame = looks_frame(whole, 2)
    assert frame is not None
    assert (frame["shape"], frame["scale"]) == ([3], [0.5])
    assert looks_frame(whole, 1) is None
    for name, damaged in (
        ("look_samples", np.array([0, 1])),
        ("look_cells", np.ones((1, 2, 3))),
        ("look_cells", np.ones((1, 3, 3), dtype=np.int8)),
        ("look_scale", np.array([0.5, 1.0])),
    ):
        assert looks_frame({**whole, name: damaged}, 2) is None
    assert looks_frame({}, 2) is None
