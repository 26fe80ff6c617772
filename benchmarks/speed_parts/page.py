"""The page docs/evidence/speed.md: its prose stays, what stands between the marks is made from the JSON."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from speed_parts.picture import draw, extra_mib
from speed_parts.tables import case_table, growth_table, memory_table

PICTURES = """![CPU time against n and p on logarithmic axes](images/speed_growth.png)

![Extra memory at the peak against n and p on logarithmic axes](images/speed_memory.png)"""


def _conditions(found: dict[str, Any]) -> str:
    machine, settings = found["machine"], found["settings"]
    blas = ", ".join(
        f"{row.get('internal_api', '?')} {row.get('version') or ''}".strip() + f" ({row['prefix']})"
        for row in found["libraries"]
    )
    packages = ", ".join(f"{name} {version}" for name, version in found["versions"].items() if version)
    commit = (found["commit"] or "unknown").removesuffix("+")
    changed = ", with changes not yet committed" if (found["commit"] or "").endswith("+") else ""
    lines = [
        f"- {machine['date']}, commit {commit}{changed}.",
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, Python "
        f"{machine['python']}. One-minute load before the first run: {machine['load_before']}.",
        f"- Threads of each process: {settings['threads']}. Runs of each contestant: up to {settings['repeats']}; as "
        f"many as fit into {settings['budget']:.0f} s. One run may take {settings['timeout']:.0f} s and "
        f"{settings['memory_gib']:g} GiB beyond its inputs.",
        f"- {packages}.",
        f"- Numerical libraries: {blas}.",
        f"- Command: `{found['command']}`; {found['minutes']:.0f} minutes.",
    ]
    return "\n".join(lines)


def sections(found: dict[str, Any]) -> dict[str, str]:
    """Generated text by the name of its mark."""
    made = {"conditions": _conditions(found)}
    made["tables"] = "\n\n".join(case_table(case) for case in found["cases"])
    growth = {along: cases for along, cases in found["growth"].items() if cases}
    made["growth"] = "\n\n".join(
        [PICTURES, *(growth_table(cases, along) for along, cases in growth.items())] if growth else []
    )
    made["memory"] = memory_table(found["memory"]) if found["memory"] else ""
    return {name: text or "Not part of this run." for name, text in made.items()}


def filled(template: str, made: dict[str, str]) -> str:
    r"""The page with everything between its marks made anew.

    Raises:
        ValueError: a mark is missing from the page.

    Example:
        >>> filled("a <!-- made: x --> old <!-- end: x --> b", {"x": "new"})
        'a <!-- made: x -->\n\nnew\n\n<!-- end: x --> b'
    """
    for name, text in made.items():
        mark = re.compile(rf"(<!-- made: {name} -->).*?(<!-- end: {name} -->)", re.DOTALL)
        if not mark.search(template):
            raise ValueError(f"the page has no marks <!-- made: {name} --> and <!-- end: {name} -->")
        template = mark.sub(lambda found, text=text: f"{found[1]}\n\n{text}\n\n{found[2]}", template)
    return template


def render(found: dict[str, Any], template: Path, folder: Path) -> list[Path]:
    """Write the page and its pictures into a folder; the paths written."""
    page = folder / "speed.md"
    page.write_text(filled(template.read_text(encoding="utf-8"), sections(found)), encoding="utf-8")
    written = [page]
    if any(found["growth"].values()):
        pictures = folder / "images" / "speed_growth.png", folder / "images" / "speed_memory.png"
        draw(found["growth"], pictures[0], unit="CPU seconds, median")
        draw(found["growth"], pictures[1], read=extra_mib, unit="extra memory at the peak, MiB")
        written += pictures
    return written
