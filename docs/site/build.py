"""Build the site into build/site, which opens without a server: make site.

Sources are laid out in build/site-source, warnings of Sphinx are errors, and every link inside is followed at the end.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from api import stage_api
from links import broken_links
from numbers_pages import stage_numbers
from sphinx.cmd.build import main as sphinx
from staging import ROOT, Stage, stage_examples, stage_pages

SOURCE = ROOT / "build" / "site-source"
SITE = ROOT / "build" / "site"
READ = ROOT / "build" / "site-read"


def main() -> int:
    """Lay out, build, check."""
    # Frameworks that look for news of themselves would ask a network.
    os.environ |= {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "KERAS_BACKEND": "torch"}
    stage = Stage(SOURCE)
    stage_pages(stage)
    stage_examples(stage)
    stage_api(stage)
    stage_numbers(stage)
    # A page that is gone shall not stay on the site; what was read before is kept, and so little is done twice.
    shutil.rmtree(SITE, ignore_errors=True)
    here = str(Path(__file__).parent)
    failed = sphinx(["-W", "--keep-going", "-q", "-c", here, "-d", str(READ), str(SOURCE), str(SITE), *sys.argv[1:]])
    if failed:
        return int(failed)
    shutil.copyfile(ROOT / "src" / "phiscope" / "glossary" / "definitions.json", SITE / "definitions.json")
    broken = broken_links(SITE)
    for sentence in broken:
        print(sentence, file=sys.stderr)
    print(f"site: {SITE / 'index.html'}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
