"""The page: what others assert and whether it holds, and where others' numbers differ from the definition."""

from __future__ import annotations

from typing import Any

from undisturbed_parts.page import wrapped

OPENING = """
Other projects have tests and benchmarks for numbers that phiscope has, too. What they assert is asserted here of
phiscope's own public calls: {facts} facts out of {suites} suites; {holding}. None of their code is used; where a suite
needs data, data are drawn anew, and bounds are theirs where they name one. What a suite asserts and phiscope was not
asked stands below it with the reason. `tests/whole/test_judged.py` runs the same functions.
"""

CASES = """
Each case is a number on data where it is known on paper, as phiscope gives it and as other packages do, in the
versions named. All of these packages are useful, and most rows are about one condition, which is named; where a
package has mended it since, running the command again will show it. **Bold** is a value further from the exact one
than the tolerance of its row. One case alone: `make judged ARGS="--only KEY"`, with the key in brackets.
"""

NOT_RUN = """
What is not on the package index, or asks for packages that are not, cannot be run by a command that has to work
anywhere, and nothing is claimed of it beyond what its source says:
"""

ABSENT = (
    (
        "rhubarbwu/neural-collapse",
        "git only; that it counts an empty class as one with mean 0 is read in its source and not shown here; "
        "phiscope's own value stands among the hard data",
    ),
    (
        "ahwillia/netrep, wrongu/repsim, mklabunde/resi",
        "git only; the package `repsim` of the index is another project",
    ),
    ("nacloos/similarity-repository", "its release 0.0.1 asks for git repositories"),
    ("galilai-group/stable-pretraining, google/neural-tangents", "the parts asked here need JAX"),
)


def page(told: dict[str, Any]) -> str:
    """The page, from what the command found."""
    parts = [
        "# Judged by others",
        opening(told),
        "```\nmake judged\n```",
        wrapped("measures everything again and writes this page and [judged.json](judged.json)."),
        summary(told),
        "## The suites",
        *(suite(one) for one in told["suites"]),
        "## Where others' numbers differ",
        wrapped(CASES),
        *(case(one) for one in told["cases"]),
        "## What was not run",
        wrapped(NOT_RUN),
        "\n".join(wrapped(f"- {name}: {why}", rest="  ") for name, why in ABSENT),
        "## Where and when",
        where(told),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def opening(told: dict[str, Any]) -> str:
    """What was asked, and the answer."""
    facts = [fact for one in told["suites"] for fact in one["facts"]]
    failing = sum(not fact["holds"] for fact in facts)
    holding = f"**{failing} of them do not hold**" if failing else "all of them hold"
    asked = sum(bool(one["facts"]) for one in told["suites"])
    return wrapped(OPENING.format(facts=len(facts), suites=asked, holding=holding))


def summary(told: dict[str, Any]) -> str:
    """One line a suite."""
    lines = ["| suite | judges | passed | left out |", "| --- | --- | ---: | ---: |"]
    for one in told["suites"]:
        held = sum(fact["holds"] for fact in one["facts"])
        passed = f"{held} of {len(one['facts'])}" if one["facts"] else _absence(one["missing"])
        lines.append(f"| {one['name']} | {one['about']} | {passed} | {len(one['left_out'])} |")
    return "\n".join(lines)


def suite(one: dict[str, Any]) -> str:
    """Its facts, and what was left out."""
    parts = [f"### {one['name']}", wrapped(f"{one['about']} Looked at: {one['seen']}.")]
    if one["facts"]:
        lines = ["| what has to hold | asked of | measured | has to be | verdict |", "| --- | --- | ---: | --- | --- |"]
        for fact in one["facts"]:
            verdict = "holds" if fact["holds"] else "**does not hold**"
            call = f"`{fact['call']}`"
            lines.append(f"| {fact['asserts']} | {call} | {said(fact['figure'])} | {fact['bounds']} | {verdict} |")
        parts.append("\n".join(lines))
    else:
        parts.append(f"{_absence(one['missing'])}.")
    if one["left_out"]:
        lines = [wrapped(f"- {what}: {why}.", rest="  ") for what, why in one["left_out"]]
        parts.append("\n".join(["Left out:\n", *lines]))
    return "\n\n".join(parts)


def case(one: dict[str, Any]) -> str:
    """What is computed, the table, and what to do."""
    names = [name for name, found in one["versions"].items() if found]
    columns = [f"{name} {one['versions'][name]}" for name in names]
    lines = ["| number | on | exact | phiscope | " + " | ".join(columns) + " |"]
    lines.append("| --- | --- | ---: | ---: |" + " ---: |" * len(names))
    for row in one["rows"]:
        ours = "" if row["ours"] is None else said(row["ours"])
        cells = [ours if row["ours_agrees"] else f"**{ours}**", *(_cell(row, name) for name in names)]
        lines.append(f"| {row['number']} | {row['condition']} | {said(row['exact'])} | " + " | ".join(cells) + " |")
    absent = [name for name, found in one["versions"].items() if not found]
    note = f"Not installed where this was measured: {', '.join(absent)}." if absent else ""
    table = "\n".join(lines)
    return "\n\n".join(
        part
        for part in (
            f"### {one['title']} (`{one['key']}`)",
            wrapped(one["computes"]),
            table,
            wrapped(note),
            wrapped(f"**What to do.** {one['advice']}"),
        )
        if part
    )


def _cell(row: dict[str, Any], name: str) -> str:
    if name not in row["others"]:
        return ""
    value, agrees = row["others"][name]
    text = value if isinstance(value, str) else said(value)
    return text if agrees else f"**{text}**"


def said(value: float) -> str:
    """A figure in four digits."""
    return f"{value:.4g}"


def _absence(missing: list[str]) -> str:
    own = [name.partition(":")[2] for name in missing if name.startswith("phiscope")]
    if own:
        return f"not yet: phiscope does not have {', '.join(own)}"
    return f"not run: {', '.join(missing)} not installed"


def where(told: dict[str, Any]) -> str:
    """The machine, versions, date and command."""
    facts = told["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    return wrapped(
        f"{facts['date']}; {facts['cpu']}, {facts['cores']} cores; {facts['system']}, Python {facts['python']}; "
        f"{libraries}; phiscope at commit {told['commit']}. `{told['command']}` took {told['seconds']:.0f} seconds "
        "on a machine that others used, too."
    )


def problems(told: dict[str, Any]) -> list[str]:
    """What is not as it should be, a line each: a fact that fails, a wrong value of phiscope, a missing package."""
    lines = []
    for one in told["suites"]:
        lines += [f"{one['key']}: {fact['asserts']}: {fact['figure']}" for fact in one["facts"] if not fact["holds"]]
        lines += [
            f"{one['key']}: {name} is not installed" for name in one["missing"] if not name.startswith("phiscope")
        ]
    for one in told["cases"]:
        lines += [
            f"{one['key']}: {row['number']}, {row['condition']}: phiscope gives {row['ours']}, exact is {row['exact']}"
            for row in one["rows"]
            if not row["ours_agrees"]
        ]
        lines += [f"{one['key']}: {name} is not installed" for name, found in one["versions"].items() if not found]
    return lines
