"""Parts of a figure are plain data that cannot change."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from collapsed import collapsed
from phiscope.figures import (
    operator_figure,
)


def test_figures_are_frozen() -> None:
    panel = operator_figure(collapsed()).panels[0]
    with pytest.raises(FrozenInstanceError):
        panel.title = "other"  # type: ignore[misc]
