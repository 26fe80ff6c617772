"""What a release needs stays true: one version everywhere, one list of dependencies, workflows that can be read."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import phiscope
from phiscope.version import RELEASED

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RECIPE = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

CONDA_NAMES = {"torch": "pytorch"}
"""Packages that have another name there."""


def test_the_recipe_has_the_version_and_the_dependencies_of_the_project():
    recipe = yaml.safe_load(RECIPE)
    assert recipe["context"]["version"] == phiscope.__version__
    wanted = [re.fullmatch(r"([\w-]+)(>=[\d.]+)", line).groups() for line in PROJECT["project"]["dependencies"]]
    expected = {f"{CONDA_NAMES.get(name, name)} {bound}" for name, bound in wanted}
    assert set(recipe["requirements"]["run"]) == {"python >=3.11", *expected}
    (builder,) = PROJECT["build-system"]["requires"]
    assert builder.replace(">=", " >=") in recipe["requirements"]["host"]
    assert recipe["about"]["summary"] == PROJECT["project"]["description"]
    assert recipe["about"]["license"] == PROJECT["project"]["license"]


def test_the_workflow_publishes_only_what_was_tried_and_keeps_no_token():
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    jobs = release["jobs"]
    assert jobs["try"]["needs"] == "build"
    assert jobs["publish"]["needs"] == "try"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["if"] == "github.event_name == 'release'"
    assert not any("secrets." in path.read_text() for path in WORKFLOWS)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_workflows_type_is_there(path):
    targets = re.findall(r"\bmake (\w+)", path.read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.M)] == []


def test_every_push_and_pull_request_runs_what_a_person_runs():
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    # YAML 1.1 reads the word "on" as true.
    assert set(ci[True]) == {"push", "pull_request", "schedule"}
    check, slow = (ci["jobs"][name] for name in ("check", "slow"))
    assert [step["run"] for step in check["steps"] if "run" in step] == [".ci/run"]
    assert check["if"] == "github.event_name != 'schedule'"
    assert slow["if"] == "github.event_name == 'schedule'"
    assert slow["steps"][-1]["run"] == "make test-slow"
    assert ci["permissions"] == {"contents": "read"}


def test_an_action_has_one_version_in_all_workflows():
    used = {tuple(name.split("@")) for path in WORKFLOWS for name in re.findall(r"uses: (\S+)", path.read_text())}
    assert len(used) == len({name for name, _ in used})


def test_what_the_issue_forms_rely_on_is_switched_on_once():
    once = (ROOT / "docs" / "releasing.md").read_text(encoding="utf-8").partition("## Once")[2].partition("\n## ")[0]
    forms = (ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")
    labels = {label for path in forms for label in yaml.safe_load(path.read_text(encoding="utf-8"))["labels"]}
    assert labels == {"fault", "number", "question"}
    assert [label for label in sorted(labels) if f"`{label}`" not in once] == []
    assert "Private vulnerability reporting" in once


def test_the_sdist_holds_what_the_tests_read():
    included = set(PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    read = {"benchmarks", "docs", "examples", "packaging", "src", "tests", ".ci", ".github", "Makefile", "CITATION.cff"}
    assert {f"/{name}" for name in read} <= included
    assert all((ROOT / name.lstrip("/")).exists() or name == "/*.md" for name in included)


def test_the_day_of_a_version_is_one_day():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == phiscope.__version__
    assert str(citation["date-released"]) == RELEASED
    # Between releases the next one has no section yet.
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (.*)$", text, re.M)[1]
    assert newest in ("Unreleased", f"{phiscope.__version__}, {RELEASED}")


def test_the_version_can_be_read_as_the_workflow_reads_it():
    text = (ROOT / "src" / "phiscope" / "version.py").read_text()
    assert re.search(r'^__version__ = "(.*)"$', text, re.M)[1] == phiscope.__version__


def test_the_table_of_versions_has_every_lower_bound_of_the_project():
    text = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    stated = {}
    for names, bounds in re.findall(r"^\| ([\w, -]+?)(?: \([^)]*\))? \| ([\d., ]+) \|", text, re.M):
        stated |= dict(zip(names.split(", "), bounds.split(", "), strict=True))
    extras = PROJECT["project"]["optional-dependencies"]
    lines = [line for name, group in extras.items() if name not in ("all", "bench", "dev", "site") for line in group]
    wanted = {}
    for line in [*PROJECT["project"]["dependencies"], *lines]:
        name, bound = re.match(r"([\w-]+)(?:\[.*\])?>=([\d.]+)$", line).groups()
        wanted.setdefault(name, set()).add(bound)
    assert all(len(bounds) == 1 for bounds in wanted.values()), "one library, one bound"
    # Packages that only go with another one have no row of their own.
    expected = {name: bound for name, (bound,) in wanted.items() if name not in ("sqlalchemy", "alembic")}
    assert stated == expected | {"Python": PROJECT["project"]["requires-python"].removeprefix(">=")}
