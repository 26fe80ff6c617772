"""Putting the page together: read the runs, fill the template, write one file.

The drawing library goes into the page, packed, so that it asks no network.
"""

from __future__ import annotations

import base64
import datetime
import functools
import gzip
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phiscope.errors import EmptyDataError, InputError, MissingDependencyError
from phiscope.figures import Section, history_sections
from phiscope.figures.contrast import Contrast, contrast_of
from phiscope.figures.history import TRAINING, scalar_order
from phiscope.figures.palette import DIVERGING, ON_DARK, SEQUENTIAL
from phiscope.figures.seeds import color_of_each
from phiscope.inputs.settings import path_of, rows_listed
from phiscope.metrics import DEFINITIONS
from phiscope.page import words
from phiscope.page.charts import gradient, history_spec
from phiscope.page.contents import contents
from phiscope.page.number_rows import LastValues, absent_numbers, curve_rows, last_values, section_rows
from phiscope.page.payload import page_data
from phiscope.page.tracks import PANELS
from phiscope.page.tried import tried_cards
from phiscope.page.updates import history_key
from phiscope.page.verdicts import happened, told_apart
from phiscope.runs import Record, Run, open_run
from phiscope.runs.reading import UNFINISHED

if TYPE_CHECKING:
    from jinja2 import Environment

SCRIPTS = (
    "state.js",
    "first.js",
    "why.js",
    "spectrum.js",
    "draw.js",
    "values.js",
    "epochs.js",
    "tracks.js",
    "classes.js",
    "tried.js",
    "align.js",
    "plane.js",
    "flow.js",
    "restricted.js",
    "gradients.js",
    "spread.js",
    "folding.js",
    "page.js",
)
"""The page's own scripts, in the order in which they run; ``theme.js`` runs before anything is seen."""

RunLike = Run | str | os.PathLike[str]

_NO_PAGES = {".pdf", ".png", ".svg", ".jpg", ".gif", ".md", ".txt", ".json"}


def report(runs: RunLike | Sequence[RunLike], output: str | os.PathLike[str]) -> Path:
    """Write one self-contained HTML page for one run, or for several runs side by side.

    The page opens from disk without a network: pictures, data and the drawing library are inside.

    Args:
        runs: a run or its folder, or several of them.
        output: the file to write; folders above it are made, an existing file is replaced at once.

    Returns:
        The path of the page.

    Raises:
        EmptyDataError: no run was given.
        InputError: output is a folder, below a file, or named as something that is no page, such as a PDF.
        RunFormatError: a run cannot be read.
        MissingDependencyError: plotly, jinja2 or Pillow is not installed.

    Example:
        ``phiscope.report(["runs/mine", "runs/other"], "report.html")``
    """
    if isinstance(runs, Run | str | os.PathLike):
        runs = [runs]
    listed = rows_listed(runs, name="runs", of="a run, its folder, or a list of them")
    target = path_of(output, name="the page")
    if target.suffix.lower() in _NO_PAGES:
        page = target.with_suffix(".html").name
        raise InputError(f"output is {target}; a report is a page, as {page}; pictures are run.figure(name).save(path)")
    if not listed:
        raise EmptyDataError("a report needs at least one run, got none")
    opened = [run if isinstance(run, Run) else open_run(run) for run in listed]
    shown = dict(zip(words.unique_labels(opened), opened, strict=True))
    text = page_text(shown)
    return _write(text, target)


@dataclass(frozen=True, kw_only=True)
class Served:
    """Where a page that a server shows finds what an offline page has inside; all but marks are addresses.

    Attributes:
        library: the drawing library.
        script: the page's own script.
        theme: the script that chooses light or dark before anything is seen.
        home: the list of runs.
        events: what tells the page of new records.
        marks: up to where the page knows its runs.
    """

    library: str
    script: str
    theme: str
    home: str
    events: str
    marks: str


def on_one_axis(runs: Mapping[str, Run]) -> Mapping[str, Run]:
    """The runs with their moments counted alike: in epochs, unless all of them count steps."""
    if len({run.unit for run in runs.values() if run.records}) > 1:
        return {label: run.in_epochs() for label, run in runs.items()}
    return runs


def page_text(runs: Mapping[str, Run], *, data: Mapping[str, Any] | None = None, served: Served | None = None) -> str:
    """The page.

    Args:
        runs: the runs by the label under which they are shown.
        data: from `page_data` of the same runs on one axis; None makes it.
        served: for a page that a server shows; None is one that stands alone.

    Raises:
        MissingDependencyError: plotly, jinja2 or Pillow is not installed.
        RunFormatError: a measurement cannot be read.
    """
    template = environment().get_template("page.html")
    runs = on_one_axis(runs)
    data = page_data(runs) if data is None else data
    sections = history_sections(runs)
    values = last_values(runs)
    cards, shared = _cards(runs, served)
    tried, pictures = tried_cards(runs)
    regression = all(card["regression"] for card in cards)
    measured = any(card["measurement"] for card in cards)
    return template.render(
        served=served,
        scripts=SCRIPTS,
        title=_title(cards),
        cards=cards,
        contents=contents(
            measured=measured,
            numbers=bool(sections),
            contrast=len(cards) > 1,
            restricted=_has_restricted(data["runs"]),
            tried=bool(tried),
            regression=regression,
        ),
        contrast=_contrast(runs),
        titles=_titles(),
        tracked=PANELS,
        turnable=any(reason == "" for run in data["runs"] for reason in run["unturned"].values()),
        searched=[place for place, run in enumerate(data["runs"]) if any(run["searches"].values())],
        shared=shared,
        reference=_reference(sections),
        sections=[_section(section, values) for section in sections],
        curves=curve_rows(),
        absent=absent_numbers(runs),
        tried=tried,
        data={**data, "history": history_data(sections), "tried": pictures},
        library=packed_plotly() if served is None else "",
        colors=_colors(),
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        measured=measured,
        regression=regression,
    )


def _has_restricted(runs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether any record has what the network does on its leading eigenfunctions alone."""
    return any(any(frames) for run in runs for modes in run["restricted"].values() for frames in modes.values())


def _colors() -> dict[str, Mapping[str, str]]:
    """What the style sheet has to know of colors that the pictures use: each as it is, and on dark paper."""
    scales = {"diverging": DIVERGING, "sequential": SEQUENTIAL}
    return {
        "light": {color: color for color in ON_DARK},
        "dark": ON_DARK,
        "light_scales": {name: gradient(colors) for name, colors in scales.items()},
        "dark_scales": {name: gradient([ON_DARK[color] for color in colors]) for name, colors in scales.items()},
    }


def told_texts(runs: Mapping[str, Run], served: Served) -> dict[str, str]:
    """What a served page says of its runs, for one that is open already: by the element it belongs into."""
    runs = on_one_axis(runs)
    cards, _ = _cards(runs, served)
    known = {"cards": cards, "served": served, "contrast": _contrast(runs), "titles": _titles()}
    templates = {"verdicts": "happened.html", "cards": "cards.html"}
    if len(runs) > 1:
        templates["differences"] = "differences.html"
    return {place: environment().get_template(name).render(known) for place, name in templates.items()}


def _titles() -> dict[str, str]:
    return {name: row.title for name, row in DEFINITIONS.items()}


def _contrast(runs: Mapping[str, Run]) -> Contrast | None:
    return contrast_of(list(runs.values())) if len(runs) > 1 else None


def history_data(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """Every scalar's panel as a plotly specification, with the key under which `page_update` sends its new points.

    ``origins`` says of each line of a measured number which run, split and number it is, whose intervals the page has;
    None of the mean over seeds, which has an interval of its own.
    """
    return [
        history_spec(panel)
        | {
            "key": history_key(section.title, panel.name),
            "origins": []
            if section.title == TRAINING
            else [line.origin and [*line.origin, panel.name] for line in panel.lines],
        }
        for section in sections
        for panel in section.panels
    ]


def _cards(runs: Mapping[str, Run], served: Served | None) -> tuple[list[dict[str, Any]], Sequence[tuple[str, str]]]:
    """What the top of the page says of each run, and what is said once for all of them."""
    shared = words.shared_facts(list(runs.values()))
    if served is not None:
        # What grows is said of each run, where it can be said anew.
        shared = tuple(fact for fact in shared if fact[0] != words.RECORDED)
    cards = [_card(index, label, run, shared) for index, (label, run) in enumerate(runs.items())]
    for card, run, color in zip(cards, runs.values(), color_of_each(runs), strict=True):
        card["happened"] = happened(run, served=served is not None)
        card["color"] = color
    return cards, shared


def environment(package: str = "phiscope.page") -> Environment:
    """The templates in a package's ``assets``, with what all pages share.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: F401 (the sentence below, also where an earlier call had it)
    except ImportError as error:
        raise MissingDependencyError("jinja2", purpose="phiscope.report()", extra="report") from error
    return _environment(package)


@functools.cache  # a template is compiled once, however often a page that is open is told something
def _environment(package: str) -> Environment:
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "assets"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    # Without spaces the data are a tenth smaller.
    made.policies["json.dumps_kwargs"] = {
        "sort_keys": True,
        "separators": (",", ":"),
        "allow_nan": False,  # no browser reads NaN, and all pictures would be dead
    }
    made.filters["subscripts"] = _subscripts
    return made


def _subscripts(symbol: str) -> Any:
    """``D_eff`` as D with a small eff below the line."""
    from markupsafe import Markup

    head, _, below = symbol.partition("_")
    if not below:
        return Markup("<i>{}</i>").format(head)
    raised = "ᶜ" if below.endswith("ᶜ") else ""
    return Markup("<i>{}</i><sub>{}</sub>{}").format(head, below.removesuffix("ᶜ"), raised)


def _title(cards: Sequence[Mapping[str, Any]]) -> str:
    if len(cards) == 1:
        return str(cards[0]["title"])
    return " · ".join(str(card["label"]) for card in cards)


def _card(index: int, label: str, run: Run, shared: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """What the top of the page says about one run."""
    measured = [record for record in run.records if record.splits]
    last = measured[-1] if measured else None
    measurement = last.measurement() if last is not None else None
    evidence = measurement.evidence if measurement is not None else None
    unusual, usual = told_apart(words.gathered_warnings(run))
    return {
        "index": index,
        "label": label,
        "title": str(run.header.get("title") or run.name),
        "description": str(run.header.get("description") or ""),
        "status": words.status_words(run),
        "going": run.status == UNFINISHED,
        "facts": [fact for fact in words.facts(run) if fact not in shared],
        "results": words.results_words(run),
        "lowness": words.lowness_value(measurement) if measurement is not None else "",
        "reference": words.reference_words(measured[0].measurement(), measurement) if measurement is not None else None,
        "unusual": unusual,
        "usual": usual,
        "evidence": evidence if evidence is not None and evidence.output_rank else None,
        "measurement": measurement,
        "gauges": words.gauges(evidence) if evidence is not None and evidence.output_rank else (),
        "meaning": words.regime_meaning(measurement) if measurement is not None else "",
        "split": last.splits[0] if last is not None else "",
        "moment": words.moment_words(last) if last is not None else "",
        "others": [(split, last.regime(split)) for split in last.splits[1:]] if last is not None else [],
        "regression": _has_no_classes(run, last),
        "header": run.header,
        "path": run.path.name,
    }


def _has_no_classes(run: Run, last: Record | None) -> bool:
    """Whether the page has no classes to speak of: values as targets, or none."""
    if last is None:
        return bool(run.header.get("task") == "regression")
    return all(not last.measurement(split).n_classes for split in last.splits)


def _section(section: Section, values: Mapping[str, LastValues]) -> dict[str, Any]:
    lines = {line.label: line for panel in section.panels for line in panel.lines}
    return {
        "title": section.title,
        "panels": section.panels,
        "rows": section_rows(section, values),
        "labels": sorted(lines.values(), key=lambda line: (line.color, line.dash != "solid")),
        "measured": section.title != TRAINING,
    }


def _reference(sections: Sequence[Section]) -> list[int]:
    """Places of accuracy and loss among all panels: every group of numbers is read beside them."""
    if not sections or sections[0].title != TRAINING:
        return []
    return [i for i, panel in enumerate(sections[0].panels) if scalar_order(panel.name)[0] < 2][:2]


@functools.cache
def packed_plotly() -> str:
    """plotly.js as base64 of gzip; the page unpacks it with the browser's DecompressionStream.

    Plain text would add 4.8 MB to each page, this adds 2.0 MB and unpacks in well under 0.1 s. Every
    browser since 2023 has DecompressionStream; the page says so where it is missing.

    Raises:
        MissingDependencyError: plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingDependencyError("plotly", purpose="phiscope.report()", extra="report") from error
    # mtime=0: the same library gives the same bytes, so two pages differ only where the runs do.
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode("ascii")


def _write(text: str, output: Path) -> Path:
    """Replace the file in one step, so that a reader or a kill never meets half a page."""
    if output.is_dir():
        raise InputError(f"{output} is a folder; expected the file to write, such as {output / 'report.html'}")
    above = next((one for one in output.parents if one.exists()), output.parent)
    if not above.is_dir():
        raise InputError(f"{output} cannot be written: {above} is a file, and a folder has to be there")
    output.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=output.parent, suffix=".html.part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp makes files that only their owner may read; a page is meant to be passed on.
        Path(unfinished).chmod(0o644)
        Path(unfinished).replace(output)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    return output
