"""Documentation that would otherwise rot: the table of numbers, links, and the README's Python."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from phiscope.metrics.tables import definitions_page

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_table_of_numbers_is_up_to_date():
    assert (ROOT / "docs" / "definitions.md").read_text(encoding="utf-8") == definitions_page(), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_exist(page):
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_the_pages_parses_and_names_things_that_exist(page):
    import phiscope

    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for block in blocks:
        ast.parse(block)
        for name in re.findall(r"phiscope\.(\w+)", block):
            assert hasattr(phiscope, name) or find_spec(f"phiscope.{name}"), name


def test_the_check_above_would_see_a_missing_name():
    import phiscope

    assert not hasattr(phiscope, "no_such_name")
    assert find_spec("phiscope.no_such_name") is None
