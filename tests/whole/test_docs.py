"""Documentation that would otherwise rot: the table of numbers, links, names, paths, and the README's Python."""

import ast
import importlib
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from phiscope.metrics.tables import definitions_page

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT / name for name in ("docs", "src", "benchmarks", "examples")]
PAGES = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in folder.rglob("*.md"))])
TEXTS = sorted([*PAGES, *(path for folder in FOLDERS for path in folder.rglob("*.py")), ROOT / "Makefile"])
# The list of what moved names modules that are no more.
TEXTS.remove(ROOT / "CHANGELOG.md")


def _name(path):
    return str(path.relative_to(ROOT))


def test_table_of_numbers_is_up_to_date():
    page = ROOT / "docs" / "reference" / "definitions.md"
    assert page.read_text(encoding="utf-8") == definitions_page(), "run: make docs"


def _anchors(page):
    """Headings as the addresses that GitHub gives them."""
    headings = re.findall(r"^#+ +(.+?) *$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _broken(page):
    """Relative links of a page whose file, or whose heading, is not there."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_relative_links_resolve(page):
    assert _broken(page) == []


def test_a_broken_link_would_be_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One, two\n[a](page.md#one-two) [b](#one-two) [c](https://x.org/y)\n![d](no.png) [e](#three)\n")
    assert _broken(page) == ["no.png", "#three"]


def test_every_page_is_on_the_index():
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^)#\s]+)", index.read_text())}
    assert set((ROOT / "docs").rglob("*.md")) - {index} <= linked


@pytest.mark.parametrize("page", PAGES, ids=_name)
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


def _exists(dotted):
    """Whether a dotted name leads to a module or to something inside one."""
    parts = dotted.split(".")
    for stop in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:stop]))
        except ModuleNotFoundError:
            continue
        for name in parts[stop:]:
            if not hasattr(found, name):
                return False
            found = getattr(found, name)
        return True
    return False


@pytest.mark.parametrize("path", TEXTS, ids=_name)
def test_dotted_names_and_paths_in_text_exist(path):
    """Modules move; whoever follows a comment, a message or a page has to arrive."""
    text = path.read_text(encoding="utf-8")
    names = set(re.findall(r"\bphiscope(?:\.[A-Za-z_]\w*)+", text)) - {"phiscope.view"}
    assert [name for name in sorted(names) if not _exists(name)] == []
    files = set(re.findall(r"(?<![\w/.-])(?:docs|src|tests|benchmarks|examples)/[\w/.-]*\w\.(?:py|md|json)\b", text))
    assert [file for file in sorted(files) if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("dotted", ["phiscope.tangent.parameter_norm", "phiscope.moments.merge", "no_such_package"])
def test_a_name_that_does_not_exist_would_be_seen(dotted):
    assert not _exists(dotted)
    assert _exists("phiscope.theory.tangent.parameter_norm")


def test_the_guide_to_language_models_runs_as_it_stands(tmp_path, monkeypatch):
    """Every block, one after the other, on a small model that has the named layers."""
    transformers, torch = pytest.importorskip("transformers"), importlib.import_module("torch")
    torch.manual_seed(0)
    size = {"n_embd": 8, "n_layer": 4, "n_head": 2, "n_positions": 16, "bos_token_id": 1, "eos_token_id": 2}
    ids = torch.randint(3, 30, (30, 8))

    class Tokenizer:
        def decode(self, ids):
            return " ".join(map(str, ids))

    known = {
        "phiscope": importlib.import_module("phiscope"),
        "model": transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=30, **size)),
        "loader": [{"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}],
        "plain_model": torch.nn.Sequential(torch.nn.Embedding(30, 6), torch.nn.Linear(6, 30)),
        "ids": ids,
        "tokenizer": Tokenizer(),
    }
    known["probe"] = known["loader"]
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "guide" / "language_models.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    for block in blocks:
        # The guide is ours, and this is how a reader runs it.
        exec(compile(block, "language_models.md", "exec"), known)  # noqa: S102
    assert len(blocks) == 3
    assert list(known["layers"]) == ["transformer.h.0", "transformer.h.3", "lm_head"]
    assert known["m"].n_samples == 30 * 7
    assert known["phiscope"].open_run("runs/words").class_names[7] == "7"
