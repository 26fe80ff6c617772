"""Make the contact sheets of docs/guide/data.md: python docs/make_glyph_pictures.py."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

from phiscope.studies.datasets.glyphs import GlyphSettings, draw_glyphs

IMAGES = Path(__file__).parent / "guide" / "images"
COLUMNS = 20


def sheet(axes, settings: GlyphSettings, rows: int, title: str) -> None:
    """The first pictures of the training split, seed 0, in rows."""
    side = settings.size
    pixels = draw_glyphs(settings, rows * COLUMNS, seed=0, split=0).pixels.transpose(0, 2, 3, 1)
    tiles = pixels.reshape(rows, COLUMNS, side, side, -1).swapaxes(1, 2).reshape(rows * side, COLUMNS * side, -1)
    axes.imshow(tiles if settings.color else tiles[:, :, 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_axis_off()


def main() -> None:
    """Gray glyphs from easy to hard, and 62 classes in color."""
    difficulties = (0.0, 0.25, 0.5, 0.75, 1.0)
    figure, axes = pyplot.subplots(len(difficulties), figsize=(9, 8.6), layout="constrained")
    for row, difficulty in zip(axes, difficulties, strict=True):
        told = f"difficulty {difficulty:g}{' (the default)' if difficulty == 0.5 else ''}"
        sheet(row, GlyphSettings(difficulty=difficulty), 3, told)
    figure.savefig(IMAGES / "glyphs_difficulty.png", dpi=110)
    figure, axes = pyplot.subplots(figsize=(9, 2.6), layout="constrained")
    sheet(axes, GlyphSettings(num_classes=62, size=32, color=True), 5, "62 classes, 32 x 32, color, difficulty 0.5")
    figure.savefig(IMAGES / "glyphs_color.png", dpi=110)


if __name__ == "__main__":
    main()
