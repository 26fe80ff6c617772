"""The page of evidence: each target with what was measured."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from statistics import median
from typing import Any

OPENING = """
How fast pictures follow whoever looks at them, measured in a real browser (Chromium without a screen, which paints on
the processor). One command writes the runs, looks at them and writes this page and [looking.json](looking.json):

```
make looking
```
"""

MEANING = """
- **opens**: from asking for the file, a page that stands alone, until its first picture is drawn; the median of
  {rounds} openings.
- **slider**: from moving it until the frame with the new picture is painted, with the spectrum in sight; the median of
  {steps} steps. A browser paints 60 frames a second, so up to 17 ms of it are waiting for the next one.
- **plane**: frames painted in a second while the picture plays, with {dots:,} dots.
- **live update**: from the moment when a record is on the disk until an open page of `phiscope.view` has painted it;
  the server looks at the files every 0.15 s. The median of {updates} records.
- **list**: `phiscope.view` of {runs} runs with {listed} records each, asked for the first time; the least of five.
"""


def rows(told: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """Each target: what, its limit, what was measured, whether it is met."""
    page, times = told["page"], told["list"]
    return [
        ("page opens", "under 2 s", f"{median(page['open_s']):.2f} s", median(page["open_s"]) < 2),
        ("page on the disk", "under 15 MB", f"{page['megabytes']:.1f} MB", page["megabytes"] < 15),
        ("slider, a step", "60 ms or less", f"{page['slide_picture_ms']:.0f} ms", page["slide_picture_ms"] <= 60),
        ("plane, frames a second", "30 or more", f"{page['frames_a_second']:.0f}", page["frames_a_second"] >= 30),
        ("live update", "under 0.5 s", f"{median(told['update_s']):.2f} s", median(told["update_s"]) < 0.5),
        ("list of runs", "under 1 s", f"{times['first']:.2f} s", times["first"] < 1),
    ]


def page_text(told: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    size, page = told["size"], told["page"]
    times, news = told["list"], told["news"]
    made = rows(told)
    missed = [what for what, _, _, met in made if not met]
    verdict = f"Missed: {', '.join(missed)}." if missed else "All targets are met."
    table = "\n".join(
        f"| {what} | {limit} | {found} | {'met' if met else '**missed**'} |" for what, limit, found, met in made
    )
    about = (
        f"The run has {size['records']} records of two splits, p = {size['features']:,} features, {size['classes']} "
        f"classes, and a gallery of {size['samples']:,} images a split; the page stands alone. {verdict}"
    )
    meaning = MEANING.format(
        rounds=len(page["open_s"]),
        steps=told["steps"],
        dots=page["dots"],
        updates=len(told["update_s"]),
        runs=told["runs"],
        listed=told["listed"],
    )
    return f"""# The speed of looking
{OPENING}
{textwrap.fill(about, 120)}

| | target | measured | |
| --- | --- | ---: | --- |
{table}

## What the words mean
{meaning}
## More of the same run

| | measured |
| --- | ---: |
| slider, a step, with the map of classes in sight | {page["slide_map_ms"]:.0f} ms |
| slider, a step, with the plane in sight | {page["slide_plane_ms"]:.0f} ms |
| `phiscope report` of the run | {told["report_s"]:.1f} s |
| page of `phiscope.view`, asked for the first time (all records are read) | {news["first page"]:.1f} s |
| a new record: until what is new can be sent | {news["news"]:.2f} s |
| a new record: all of the page's data made anew instead | {news["anew"]:.1f} s |
| list in the browser, from asking until it can be sorted | {median(told["list_open_s"]):.2f} s |
| list again, nothing has changed | {times["again"]:.3f} s |
| list again, one run has grown | {times["one grew"]:.3f} s |
| the least a list can take: reading the files of all runs | {times["floor"]:.3f} s |

## Conditions

{conditions(told)}
"""


def conditions(told: Mapping[str, Any]) -> str:
    """Where and beside what it was measured."""
    machine = told["machine"]
    words = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {machine['python']}, {told['chromium']}; {machine['date']}, commit {told['commit']}. Load before the "
        f"first run: {machine['load_before']} (processes that want a core). {told['conditions']}"
    )
    return textwrap.fill(words.strip(), 120)
