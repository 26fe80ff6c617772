"""What others assert of such numbers, asked of phiscope; and where others' numbers differ from the definition.

    make judged                                 all suites and cases: judged.md and .json in docs/evidence
    make judged ARGS="--only netrep few-samples"    some suites or cases, printed; nothing is written
    make judged ARGS="--render docs/evidence/judged.json"   the page again, without measuring

The exit code is 0 when every fact holds, every value of phiscope is the exact one and every package is there, 1 when
not. A case is one small script in `judged_parts/cases`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judged_parts import page
from judged_parts.cases import BY_KEY as CASES
from judged_parts.suites import BY_KEY as SUITES
from speed_parts import machine

ROOT = Path(__file__).parents[1]
LIBRARIES = ("scikit-learn",)


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    keys = [*SUITES, *CASES]
    parser.add_argument("--only", nargs="+", choices=keys, metavar="KEY", help=", ".join(keys))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "evidence", help="folder; default docs/evidence")
    parser.add_argument("--render", type=Path, metavar="JSON", help="make the page from this file, measure nothing")
    args = parser.parse_args(words)
    if args.render and not args.render.is_file():
        parser.error(f"--render {args.render} is no file; make judged writes docs/evidence/judged.json")
    return args


def measured(given: str, only: Sequence[str] | None) -> dict[str, Any]:
    """Every suite and case that was asked for, and where they ran."""
    start, told = time.monotonic(), {"suites": [], "cases": []}
    for kind, known in (("suites", SUITES), ("cases", CASES)):
        for key, one in known.items():
            if only is None or key in only:
                print(key, file=sys.stderr, flush=True)
                told[kind].append(one.record())
    about = {
        "command": f"python benchmarks/judged.py {given}".strip(),
        "machine": machine.facts(),
        "versions": {name: found for name, found in machine.versions(LIBRARIES).items() if found},
        "commit": machine.commit(),
        "seconds": round(time.monotonic() - start, 1),
    }
    return about | told


def main(words: Sequence[str] | None = None) -> int:
    """Measure, write the page or print what was asked for, and say what is wrong."""
    args = parsed(words)
    if args.render:
        told = json.loads(args.render.read_text(encoding="utf-8"))
    else:
        told = measured(shlex.join(sys.argv[1:] if words is None else words), args.only)
    if args.only:
        print("\n\n".join([*map(page.suite, told["suites"]), *map(page.case, told["cases"])]))
    else:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "judged.md").write_text(page.page(told), encoding="utf-8")
        if not args.render:
            (args.out / "judged.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        print(args.out / "judged.md")
    wrong = page.problems(told)
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
