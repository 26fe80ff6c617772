"""The reproduction as one self-contained page, as Markdown with its pictures, and as a small JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import phiscope
from phiscope.errors import MissingDependencyError
from phiscope.reproduction.discoveries.numbered import findings
from phiscope.reproduction.pictures import family_picture
from phiscope.reproduction.summary import (
    LAYER_HEADS,
    RECORD_HEADS,
    FamilySummary,
    paired,
    scoreboard,
    summary_facts,
)
from phiscope.reproduction.text import markdown_page, medium_text, verdicts_text

_MARKS = {"reproduced": "✓", "direction only": "~", "not reproduced": "✗", "premise not met": "?", "not run": "·"}


def write_page(summaries: Sequence[FamilySummary], path: Path, *, medium: Sequence[FamilySummary] = ()) -> Path:
    """Write the page; it opens from disk without a network.

    Args:
        summaries: of the families to show.
        path: the file.
        medium: those at medium scale, shown beside; alone where there are no others.

    Raises:
        MissingDependencyError: jinja2 or matplotlib is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError("jinja2", purpose="the page of phiscope reproduce", extra="report") from error
    from markupsafe import Markup

    beside = {summary.family.name: summary for summary in medium if summaries}
    summaries = summaries or medium
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("phiscope.reproduction", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template("page.html").render(
        version=phiscope.__version__,
        scale=summaries[0].scale,
        summaries=summaries,
        settings={summary.family.name: summary.family.setting_at(summary.scale) for summary in summaries},
        beside=beside,
        paired={
            one.family.name: paired(one, beside[one.family.name]) for one in summaries if one.family.name in beside
        },
        medium=medium_text(medium) if beside else "",
        verdicts=verdicts_text,
        record_heads=RECORD_HEADS,
        layer_heads=LAYER_HEADS,
        board=scoreboard(summaries, medium if beside else ()),
        marks=_MARKS,
        findings=list(findings([one for one in summaries if one.scale != "medium"], medium)),
        # The pictures are our own text: matplotlib escapes what stands in them.
        pictures={name: Markup(picture) for name, picture in _pictures(summaries).items()},
        medium_pictures={name: Markup(picture) for name, picture in _pictures(medium if beside else ()).items()},
    )
    return _written(path, text)


def write_docs(summaries: Sequence[FamilySummary], folder: Path, *, medium: Sequence[FamilySummary] = ()) -> Path:
    """Write ``reproduction.md``, its pictures and ``reproduction.json`` into a documentation folder.

    Args:
        summaries: of all families.
        folder: pictures go into its sub-folder "images".
        medium: those at medium scale, shown beside.
    """
    for name, picture in _pictures(medium).items():
        _written(folder / "images" / f"reproduction-{name}-medium.svg", picture)
    for name, picture in _pictures(summaries).items():
        _written(folder / "images" / f"reproduction-{name}.svg", picture)
    known = summary_facts(summaries)
    for name, beside in summary_facts(medium).items():
        known[name]["medium"] = beside
    facts = json.dumps(known, indent=1, ensure_ascii=False, allow_nan=False)
    _written(folder / "reproduction.json", facts + "\n")
    return _written(
        folder / "reproduction.md",
        markdown_page(summaries, findings(summaries, medium), pictures="images", medium=medium),
    )


def _pictures(summaries: Sequence[FamilySummary]) -> dict[str, str]:
    drawn = {summary.family.name: family_picture(summary.results) for summary in summaries if summary.n_runs}
    # Inside a page an XML declaration would be text.
    return {name: picture[picture.index("<svg") :] for name, picture in drawn.items()}


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
    return path
