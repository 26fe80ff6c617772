"""One page for every number, from its definition row, with the library's picture of a case where it is low and high."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import scenes
from staging import Stage

import phiscope
from phiscope.glossary.letters import letters_of
from phiscope.glossary.words import stored
from phiscope.metrics import DEFINITIONS, Definition, place_of
from phiscope.metrics.tables import interval_words

DPI = 110

CURVES: Mapping[str, tuple[str, str]] = {
    "eigenvalues": ("steep", "even"),
    "quality": ("blind", "collapsed"),
    "cumulative_quality": ("weak", "collapsed"),
    "quality_excess": ("blind", "collapsed"),
    "held_out_quality": ("blind", "collapsed"),
    "utilization": ("weak", "collapsed"),
    "cumulative_utilization": ("weak", "collapsed"),
    "k90": ("decaying", "weak"),
    "tolerance_curve": ("collapsed", "weak"),
}
"""Numbers that are curves or are asked for one by one: the scenes at both ends, named here, as nothing sorts curves."""

PAIRS: Mapping[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "cka": (("decaying", "blind"), ("decaying", "steep")),
    "cka_unbiased": (("decaying", "blind"), ("decaying", "steep")),
    "overlap": (("decaying", "blind"), ("decaying", "steep")),
    "principal_angles": (("decaying", "steep"), ("decaying", "blind")),
}
"""Numbers of two feature maps: the pair at either end."""

UNSEEN = frozenset({"nc3", "nrc2", "nrc3", "head_excess_loss", "regime"})
"""They compare the head with the features or are words: no picture of one measurement tells low from high."""

CLASS_PICTURES = frozenset({"nc2_equinorm", "nc2_equiangular", "cdnv", "discriminant_information"})
"""Better seen on the map of classes and eigenfunctions than in the spectrum."""


def stage_numbers(stage: Stage) -> None:
    """Write the pages, their index, and the pictures."""
    drawn: set[str] = set()
    for name, row in DEFINITIONS.items():
        stage.put(f"numbers/{name}.md", _page(stage, row, drawn))
    stage.put("numbers/index.md", _index())
    stage.remove_the_rest(["numbers"])


def _index() -> str:
    lines = [
        "# Every number",
        "",
        "Each has a page with its formula, its range, what leaves it as it is, and, where a picture can show it,",
        "a case where it is low and one where it is high. All of them on one page, and what each is invariant to:",
        "[the table](../docs/reference/definitions.md).",
        'As data: <a href="../definitions.json">definitions.json</a>.',
        "",
        "| number | range | small and large |",
        "|---|---|---|",
    ]
    for row in DEFINITIONS.values():
        direction = row.direction.replace("|", "\\|")
        symbol = row.symbol.replace("|", "\\|")
        lines.append(f"| [{row.title}]({row.name}.md), {symbol} | {row.range} | {direction} |")
    return "\n".join([*lines, "", "```{toctree}", ":hidden:", "", *DEFINITIONS, "```", ""])


def _page(stage: Stage, row: Definition, drawn: set[str]) -> str:
    beside = stored().words.beside(row.name)
    lines = [
        f"(number-{row.name})=",
        f"# {row.title}",
        "",
        f"`{row.name}`, {row.symbol}" + (" (phiscope's own definition)" if row.ours else ""),
        "",
        row.meaning,
        "",
        f"> {row.equation}",
        "",
        *_letters(row),
        *_facts(row),
        "",
        *_low_and_high(stage, row, drawn),
    ]
    if row.caveat:
        lines += ["## When it misleads", "", row.caveat, ""]
    if beside:
        lines += ["## Beside it", "", *(f"- [{DEFINITIONS[other].title}]({other}.md)" for other in beside), ""]
    return "\n".join(lines)


def _letters(row: Definition) -> list[str]:
    """What the letters of the formula stand for."""
    said = letters_of(row)
    if not said:
        return []
    return [*(f"- {words}" for words in said), "", "[All letters](../docs/reference/definitions.md#letters)", ""]


def _facts(row: Definition) -> list[str]:
    unit = "" if row.unit == "1" else f", in {row.unit}"
    facts = {
        "Range": f"{row.range}{unit}",
        "Small and large": row.direction,
        "Read it": f"`{place_of(row.name)}`",
        "Reads": row.spectrum_text,
        "Needs": ", ".join(row.needs),
        "[Invariant to](../docs/reference/definitions.md#what-every-number-is-invariant-to)": row.invariance_text
        or "none of the usual transformations",
        "Source": row.source,
        "Interval": interval_words(row),
        "Also called": ", ".join(row.aliases),
    }
    return ["| | |", "|---|---|", *(f"| {key} | {_cell(value)} |" for key, value in facts.items() if value)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _low_and_high(stage: Stage, row: Definition, drawn: set[str]) -> list[str]:
    """Both cases with their values, and their pictures where one shows the difference."""
    name = row.name
    if name in PAIRS:
        return _sections(PAIRS[name], lambda pair: _pair(stage, name, pair, drawn))
    ends = CURVES.get(name) or _ends(name)
    if ends is None:
        return []
    kind = "" if name in UNSEEN else "classes" if name in CLASS_PICTURES else "spectrum"
    return _sections(ends, lambda one: _case(stage, name, one, kind, drawn))


def _sections(ends: tuple, case: Callable[..., list[str]]) -> list[str]:
    low, high = ends
    return ["## Low", "", *case(low), "", "## High", "", *case(high), ""]


def _ends(name: str) -> tuple[str, str] | None:
    """The scenes in which a number is smallest and largest; None where no scene has it."""
    values = {one: scenes.measured(one).to_dict().get(name) for one in scenes.MADE}
    # Beyond the rounding of a few hundred operations two scenes are one and the first is taken.
    known = {one: round(value, 9) for one, value in values.items() if value is not None}
    return (min(known, key=known.__getitem__), max(known, key=known.__getitem__)) if known else None


def _case(stage: Stage, name: str, one: str, kind: str, drawn: set[str]) -> list[str]:
    made = scenes.scene(one)
    value = scenes.measured(one).to_dict().get(name)
    # A rounding of zero is printed as zero.
    said = "" if value is None else f"{DEFINITIONS[name].symbol} = **{0.0 if abs(value) < 1e-9 else value:.4g}**. "
    text = [f"{said}{made.words[0].upper()}{made.words[1:]}."]
    if not kind:
        return text
    picture = f"images/{one}-{kind}.png"
    _draw(stage, picture, lambda: scenes.measured(one).figure(kind), drawn)
    return [*text, "", f"![The {kind} of {made.words}]({picture})"]


def _pair(stage: Stage, name: str, pair: tuple[str, str], drawn: set[str]) -> list[str]:
    first, second = (scenes.scene(one) for one in pair)
    compared = phiscope.compare(first.features, second.features)
    picture = f"images/{'-and-'.join(pair)}.png"
    _draw(stage, picture, compared.figure, drawn)
    words = f"{first.words}, beside {second.words}"
    value = compared.cka_unbiased if name == "cka_unbiased" else compared.cka
    kind = "Unbiased CKA" if name == "cka_unbiased" else "CKA"
    return [f"{kind} {value:.3g}: {words}.", "", f"![Squared overlaps of {words}]({picture})"]


def _draw(stage: Stage, name: str, figure: Callable[[], object], drawn: set[str]) -> None:
    path = stage.keep(name := f"numbers/{name}")
    if name not in drawn:
        drawn.add(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure().savefig(path, dpi=DPI)  # type: ignore[attr-defined]
