"""The page: a table of settings and observers, what was compared, and whether a disturbance would be seen."""

from __future__ import annotations

import textwrap
from typing import Any

from undisturbed_parts.clumsy import CLUMSY
from undisturbed_parts.traces import said

COLUMNS = {"Observer": "Observer", "background": "Observer(background=True)", "Passive": "PassiveObserver"}
"""What the observers of `watches.OBSERVERS` are called in the table."""

OPENING = """
An observer must not change the training that it looks at. Here {rows} ways to train are each trained without an
observer and with three: `Observer`, which runs a fixed set of samples, the probe, through the network; the same with
`background=True`, which computes on a thread of its own; and `PassiveObserver`, which listens to the training's own
forward passes. What each training leaves is compared bit by bit with what the one without leaves. Of {cells} observed
trainings {identical} are identical to it; in {refused} the observer refused in one sentence, and the training went on
as without; {differs}.
"""

COMPARED = """
Every training of a setting starts from the same seeds. The first is without an observer, in a process that has not
loaded phiscope; then comes one with each observer. "Identical" says that none of these differed in a single bit:

- **weights**: all parameters and buffers at the end, also those of an average of the network (EMA, SWA); the states
  of the optimizer, of the schedule of learning rates, of the gradient scaler;
- **losses** of every step, and the **batches** in the order in which the network saw them;
- **random states** of Python, NumPy, torch and the loader's own generator, at the start, at every record and at the
  end;
- **modes**: whether each module is in training mode, at the same moments;
- **gradients** in `.grad`, and whether each parameter asks for one (`requires_grad`);
- **hooks**: functions that torch calls around a module's forward or backward pass, its saving and loading, around an
  optimizer's step, or at a tensor's gradient; there are as many as without an observer, and no module has an
  attribute more;
- **switches** of the process: gradients, autocast, the state of torch.compile, threads, default precision, Ctrl-C;
- **threads and processes**: none more are left after `close()`;
- **memory**: when the training and its observer are deleted, the network is gone, and no more tensors are left than
  without; those that torch.compile traced with hold no data and do not count.

An observer records seven times in three epochs: before the first step, after each epoch, and in the middle of each,
between the backward pass and the optimizer's step, where gradients lie ready. (Keras offers no such moment; there it
is between two steps.) With accumulation some of these moments meet gradients that are half summed. The passive
observer records six times: before the first step it has heard nothing.

**Features** of each record have to be those of a plain forward pass on another road, bit by bit. For `Observer`: a
fresh network is given the weights of that moment and runs over the same samples in eval mode; one hook of torch notes
what goes into the last linear layer. For `PassiveObserver`: in a training of its own, one such hook notes the same in
every step. In the records, eigenvalues then have to be those of the covariance of these features, to a billionth of
the largest (where one process has all of them).
"""

SEEN = """
A comparison that sees nothing proves nothing. So every setting is also trained with somebody who disturbs on purpose,
at the moments of the records, once in each of these ways; each has to be seen under its own heading:
"""

TWINS = """
And the other way round: two trainings without anybody are identical to each other in {twins} of {rows} settings, and
so is a last one at the end of the process, after all observers and disturbers, in {after} of {rows}.
"""

WORDS = """
In the four frameworks the observer is called by a small callback of this benchmark, also in the middle of epochs. The
callbacks that phiscope brings make the same observer; `tests/integrations` trains with and without each of them and
compares weights and random states bit by bit, for Lightning and the Trainer also with bf16, accumulation and
activation checkpointing.

DDP and FSDP2 are torch's ways to train in several processes, whose messages gloo carries between processors and NCCL
between cards. Autocast computes where it is safe in a shorter form of numbers: bf16 (bfloat16) or fp16 (float16). EMA
and SWA keep an average of the weights beside them. A hook is a function that torch calls before or after a part of a
network runs.
"""

SMALL = """
Networks and data are small: what is asked is whether bits differ, not what observing costs, which
[observing](../guide/observing.md#what-it-costs) says. Each process has one thread, so that sums are made in one
order.
"""

NO_CARD = """
**This was not run on a card**: the machine of this page has none. The same command does it where there is one, with
float16 and a gradient scaler, bfloat16, torch.compile, DDP on NCCL where there are two cards, and torch's
deterministic algorithms: `make undisturbed ARGS="--device cuda"`. Without a card it says so in one sentence and exits
with 2. Frameworks are compared on the CPU only.
"""

FRAMEWORKS = """
In Lightning, the Trainer, accelerate and Keras the observers are called from small callbacks in
`benchmarks/undisturbed_parts/callbacks.py`. In Keras the passive observer is put around the forward pass of a step,
not around the whole `train_step`, which also moves the weights.
"""

HIDDEN = """
A network or a data set that keeps a state where nobody can put it back is not among the settings; [what is
undisturbed, and what cannot be](../guide/observing.md#what-is-undisturbed-and-what-cannot-be) names them.
"""


def wrapped(text: str, *, first: str = "", rest: str = "") -> str:
    """One paragraph, its lines filled."""
    # Commands stay on one line.
    parts = " ".join(text.split()).split("`")
    words = "`".join(part.replace(" ", "\0") if index % 2 else part for index, part in enumerate(parts))
    indents = {"initial_indent": first, "subsequent_indent": rest}
    return textwrap.fill(words, 120, break_on_hyphens=False, break_long_words=False, **indents).replace("\0", " ")


def page(told: dict[str, Any]) -> str:
    """The page, from what the command found."""
    parts = [
        "# Is a training disturbed?",
        opening(told),
        "```\nmake undisturbed\n```",
        "trains everything again and writes this page and [undisturbed.json](undisturbed.json).",
        table(told),
        wrapped(WORDS),
        refusals(told),
        "## What was compared",
        COMPARED.strip(),
        "## Whether a disturbance would be seen",
        SEEN.strip(),
        controls(told),
        "## What this does not show",
        limits(told),
        "## Where and when",
        where(told),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def done(told: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings that came to an end."""
    return [row for row in told["settings"] if "cells" in row]


def opening(told: dict[str, Any]) -> str:
    """What was asked, and the answer."""
    cells = [cell for row in done(told) for cell in row["cells"].values()]
    counts = {word: sum(cell["verdict"] == word for cell in cells) for word in ("identical", "refused", "differs")}
    differs = f"**{counts['differs']} differ**" if counts["differs"] else "none differs"
    return wrapped(OPENING.format(rows=len(done(told)), cells=len(cells), **counts | {"differs": differs}))


def table(told: dict[str, Any]) -> str:
    """Settings and observers."""
    lines = ["| setting | what is special | " + " | ".join(f"`{name}`" for name in COLUMNS.values()) + " |"]
    lines.append("| --- | --- |" + " --- |" * len(COLUMNS))
    for row in told["settings"]:
        if "cells" in row:
            words = [_verdict(row, row["cells"][name]) for name in COLUMNS]
        else:
            words = [row.get("left_out") or f"**did not end**: {row['error']}", *[""] * (len(COLUMNS) - 1)]
        lines.append(f"| {row['title']} | {row['about']} | " + " | ".join(words) + " |")
    return "\n".join(lines)


def _verdict(row: dict[str, Any], cell: dict[str, Any]) -> str:
    if row["twin"]:
        return "**not comparable**: two trainings without an observer differ"
    if cell["verdict"] == "differs":
        return f"**differs**: {'; '.join(filter(None, [said(cell['differs']), cell['features']]))}"
    return "refused, see below" if cell["verdict"] == "refused" else "identical"


def refusals(told: dict[str, Any]) -> str:
    """In which words an observer refused."""
    lines = [
        wrapped(f"- {row['title']}, `{COLUMNS[name]}`: “{cell['refusal']}”", rest="  ")
        for row in done(told)
        for name, cell in row["cells"].items()
        if cell["verdict"] == "refused"
    ]
    return "\n".join(["Refused in these words, the training undisturbed:\n", *lines]) if lines else ""


def controls(told: dict[str, Any]) -> str:
    """How many of the deliberate disturbances were seen."""
    rows = done(told)
    lines = ["| somebody who | has to be seen under | seen in |", "| --- | --- | ---: |"]
    for kind in CLUMSY:
        caught = sum(row["controls"][kind.name]["caught"] for row in rows)
        word = f"{caught} of {len(rows)} settings"
        lines.append(f"| {kind.name} | {kind.part} | {word if caught == len(rows) else f'**{word}**'} |")
    twins, after = (sum(not row[name] for row in rows) for name in ("twin", "afterwards"))
    return "\n".join(lines) + "\n\n" + wrapped(TWINS.format(twins=twins, rows=len(rows), after=after))


def limits(told: dict[str, Any]) -> str:
    """What a reader must not conclude."""
    texts = [SMALL, *([NO_CARD] if told["device"] == "cpu" else []), FRAMEWORKS, HIDDEN]
    return "\n".join(wrapped(text, first="- ", rest="  ") for text in texts)


def where(told: dict[str, Any]) -> str:
    """The machine, versions, date and command."""
    facts = told["machine"]
    device = "no card" if told["device"] == "cpu" else told["device"]
    libraries = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    seconds = sum(row.get("seconds", 0) for row in told["settings"])
    return wrapped(
        f"{facts['date']}; {facts['cpu']}, {facts['cores']} cores, {device}; {facts['system']}, Python "
        f"{facts['python']}; {libraries}; phiscope at commit {told['commit']}. `{told['command']}` took "
        f"{seconds / 60:.0f} minutes on a machine that others used, too."
    )


def problems(told: dict[str, Any]) -> list[str]:
    """What is not as it should be, a line each; empty when no observer disturbed and every disturbance was seen."""
    lines = []
    for row in told["settings"]:
        title = row["title"]
        if "error" in row:
            lines.append(f"{title}: {row['error']}")
        if not row.get("fresh", True):
            lines.append(f"{title}: phiscope was loaded before the training without it")
        if not row.get("gone", True):
            lines.append(f"{title}: the network outlives its training without an observer, too")
        lines += [f"{title}, {name}: {row[name]}" for name in ("twin", "afterwards") if row.get(name)]
        for name, cell in row.get("cells", {}).items():
            if cell["verdict"] == "differs":
                lines.append(f"{title}, {name}: {said(cell['differs'])} {cell['features'] or ''}".rstrip())
        for name, control in row.get("controls", {}).items():
            if not control["caught"]:
                lines.append(f"{title}: somebody who {name} was not seen ({control['differs'] or 'no difference'})")
    return lines
