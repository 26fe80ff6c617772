"""The house keeps its promises: public surface, layers, architecture page, metadata, budgets, quick start."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import phiscope
from phiscope import errors

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "phiscope"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted(SOURCE.rglob("*.py"))
FACES = sorted(SOURCE.glob("*/**/__init__.py"))
TOP_FACES = sorted(SOURCE.glob("*/__init__.py"))
TESTS = ROOT / "tests"

# Modules without a test file of their own, and the file that tests them through another door.
TESTED_ELSEWHERE = {
    "__main__": "cli/test_main.py",
    "archive": "whole/test_bad_input.py",
    "distributed/lockstep": "distributed/test_distributed.py",
    "findings/collapse": "whole/test_naive_twins.py",
    "findings/dimensions": "whole/test_naive_twins.py",
    "findings/outputs": "whole/test_naive_twins.py",
    "findings/wide": "measurement/test_wide.py",
    "measurement/assemble": "spectrum/test_eigensystem.py",
    "measurement/diagonalize": "whole/test_naive_twins.py",
    "measurement/layer_moments": "measurement/test_measure_layers.py",
    "measurement/ranks": "distributed/test_distributed.py",
    "measurement/record": "whole/test_properties.py",
    "moments/wide": "measurement/test_wide.py",
    "observe/ranks": "distributed/test_distributed.py",
    "typing": "whole/test_house.py",
    "version": "whole/test_house.py",
}
# Test files in a package's folder that have no module's name: the package as a whole, or one module in another place.
TEST_FILES_OF_NO_MODULE = {
    "distributed/test_dask_cluster.py",
    "distributed/test_distributed.py",
    "integrations/test_logged.py",
    "integrations/test_skorch.py",
    "integrations/test_two_processes.py",
    "live/test_browser.py",
    "page/test_browser.py",
    "page/test_first_screen.py",
    "page/test_growth.py",
    "reproduction/test_families.py",
    "runs/test_format1.py",
    "runs/test_hostile.py",
    "runs/test_kills.py",
}

PUBLIC = [
    "DEFINITIONS",
    "Alert",
    "Comparison",
    "Definition",
    "FeatureMap",
    "Head",
    "Layers",
    "Measurement",
    "Observer",
    "PassiveObserver",
    "PhiscopeError",
    "Run",
    "Spectrum",
    "Split",
    "compare",
    "diagonalize",
    "diagonalize_kernel",
    "input_gradients",
    "measure",
    "measure_layers",
    "open_run",
    "replay",
    "report",
    "restrict",
    "split",
    "tangent_kernel",
    "track",
    "view",
    "write_run",
]


def test_the_public_surface_is_this_and_no_other():
    assert phiscope.__all__ == PUBLIC
    assert set(dir(phiscope)) == {*PUBLIC, "__version__"}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name):
    assert getattr(phiscope, name).__doc__
    assert not isinstance(getattr(phiscope, name), type(sys))


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'mesure'"):
        phiscope.mesure  # noqa: B018


def test_no_module_at_the_top_bears_the_name_of_a_public_function():
    children = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/*.py")}
    assert {name for name in children if name in PUBLIC} == set()


def test_import_loads_no_library():
    code = "import sys, phiscope; print({'torch', 'numpy', 'plotly', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_measuring_and_observing_load_nothing_slow_that_they_do_not_need():
    code = "import sys, phiscope; phiscope.Observer; phiscope.measure; phiscope.open_run; phiscope.report\n"
    slow = {"plotly", "matplotlib", "scipy.stats", "sklearn", "xarray", "jinja2", "transformers"}
    code += f"print({slow} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def _layers():
    """The contract's rows, each as a set of module names."""
    (contract,) = PROJECT["tool"]["importlinter"]["contracts"]
    assert contract["exhaustive"]
    return [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]


def test_architecture_page_has_the_contracts_rows_and_the_folders_modules():
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = [set(re.findall(r"`(\w+)`", cell)) for cell in re.findall(r"^\| \d+ \| ([^|]+) \|", page, re.M)]
    assert rows == _layers()
    children = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/*.py")}
    assert set().union(*rows) == children - {"__init__", "phiscope"}


def test_the_error_tree_in_the_docstring_is_the_tree_in_the_code():
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__)
    defined = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)]
    assert drawn == [name for name in defined if name != "PhiscopeError"]
    assert all(issubclass(getattr(errors, name), errors.PhiscopeError) for name in drawn)


def test_installing_phiscope_can_never_replace_a_torch():
    (torch,) = [line for line in PROJECT["project"]["dependencies"] if line.startswith("torch")]
    assert re.fullmatch(r"torch>=\d+\.\d+", torch)
    pinned = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert pinned[0] == "torch==2.13.0"
    # What else is pinned builds the site and is no dependency of the package.
    tools = {line.partition("==")[0] for line in pinned[1:]}
    assert tools == {"furo", "myst-parser", "sphinx", "sphinx-gallery"}
    assert not tools & {re.match(r"[\w-]+", line)[0] for line in PROJECT["project"]["dependencies"]}


def test_no_dependency_has_an_upper_bound():
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    assert [line for group in groups for line in group if re.search(r"[<~]|==|!=", line)] == []


def test_versions_agree():
    assert re.fullmatch(r"\d+\.\d+\.\d+", phiscope.__version__)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {phiscope.__version__}\n" in citation


def test_ci_runs_the_commands_as_the_readme_prints_them():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in ("make test", "make lint", "make site"):
        assert f"\n{command}\n" in script
        assert f"\n{command.removeprefix('make ')}: " in makefile
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_budgets_that_make_a_reader_stop(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 40, f"{node.name} has {lines} lines"
            # Seven beside self; keyword-only ones read like a configuration and do not count.
            assert node.name != "__init__" or len(node.args.args) <= 8
            assert _nesting(node) <= 3, f"{node.name} nests {_nesting(node)} deep"


# Modules below 40 lines that are no faces: a type, a number, a door.
SMALL = {"typing", "version", "__main__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_module_is_so_small_that_its_place_is_another(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    small = path.name != "__init__.py" and lines < 40
    assert small == (path.parent == SOURCE and path.stem in SMALL), f"{lines} lines: whose part is it?"


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES}), ids=lambda path: path.name)
def test_no_folder_is_a_corridor(folder):
    if folder == SOURCE:
        # A wing is a decision; see ARCHITECTURE.md.
        assert len([path for path in folder.iterdir() if path.name not in ("__pycache__", "py.typed")]) <= 29
    else:
        assert len(set(folder.glob("*.py"))) - 1 <= 17


def test_there_are_few_rows():
    assert len(_layers()) <= 13


def test_blas_and_lapack_have_one_door():
    """Ruff's TID251 keeps it; here only that the rule stands, and that nobody outside is excused."""
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert "TID251" in lint["select"]
    assert {"scipy.linalg", "numpy.linalg", "ctypes"} <= set(lint["flake8-tidy-imports"]["banned-api"])
    excused = {name for name, rules in lint["per-file-ignores"].items() if "TID251" in rules and name.startswith("src")}
    assert excused == {"src/phiscope/linalg/**"}


def _nesting(node, depth=0):
    blocks = (ast.If, ast.For, ast.While, ast.With, ast.Try)
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and child in node.orelse
        deeper = isinstance(child, blocks) and not is_elif
        deepest = max(deepest, _nesting(child, depth + deeper))
    return deepest


def test_the_nesting_count_counts():
    tree = ast.parse("def f():\n if a:\n  for b in c:\n   with d:\n    pass\n elif e:\n  pass\n elif g:\n  pass")
    assert _nesting(tree.body[0]) == 3


def _untested(modules, test_files):
    """Modules without a test file of their name in the folder of their package."""
    return {module for module in modules if _test_file(module) not in test_files}


def _test_file(module):
    *folders, name = module.split("/")
    return "/".join([*folders, f"test_{name}.py"])


def _modules():
    """Every module but faces and experiments, as in TESTED_ELSEWHERE."""
    names = {path.relative_to(SOURCE).with_suffix("").as_posix() for path in MODULES if path.stem != "__init__"}
    return {name for name in names if not name.startswith("reproduction/")}


def _test_files():
    return {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}


def test_every_module_has_a_test_file_of_its_name_or_stands_on_the_list():
    untested = _untested(_modules(), _test_files())
    assert untested - set(TESTED_ELSEWHERE) == set(), "write a test file of that name, or name the one that covers it"
    assert set(TESTED_ELSEWHERE) - untested == set(), "has a test file of its own, or is gone: take it off the list"
    assert len(TESTED_ELSEWHERE) <= 18, "the list may only shrink"


@pytest.mark.parametrize("module", TESTED_ELSEWHERE)
def test_the_file_that_covers_a_module_exists(module):
    assert TESTED_ELSEWHERE[module] in _test_files()


def test_the_check_of_test_files_sees_a_missing_one():
    files = _test_files()
    assert _untested({"linalg/eigen", "errors"}, files) == set()
    assert _untested({"linalg/eigen"}, files - {"linalg/test_eigen.py"}) == {"linalg/eigen"}
    # Of the same name in another package it does not count.
    assert _untested({"runs/wide"}, files) == {"runs/wide"}


def test_a_test_file_in_a_packages_folder_bears_a_modules_name():
    named = {_test_file(path.relative_to(SOURCE).with_suffix("").as_posix()) for path in MODULES}
    unnamed = {name for name in _test_files() - named if not name.startswith("whole/")}
    assert unnamed == TEST_FILES_OF_NO_MODULE


def test_sources_hold_no_unfinished_or_unsafe_code():
    forbidden = (
        r"\b(TODO|FIXME|XXX|NotImplementedError|import pickle|torch\.load\((?!.*weights_only=True)|eval\(|assert )"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(forbidden, line) and not re.match(r"\s*(#|>>>|\w*\.eval\()", line) and ".eval(" not in line
    ]
    assert found == []


def test_every_module_says_what_it_is():
    for path in MODULES:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert docstring, path


def _listed(face):
    """File names that a face's docstring lists, in its order; folders end in a slash."""
    return re.findall(r"^    (\w+(?:\.py|/)) +\S", ast.get_docstring(ast.parse(face)), re.M)


@pytest.mark.parametrize("face", FACES, ids=lambda path: str(path.parent.relative_to(SOURCE)))
def test_every_face_lists_the_modules_of_its_folder(face):
    listed = _listed(face.read_text(encoding="utf-8"))
    folders = {f"{path.parent.name}/" for path in face.parent.glob("*/__init__.py")}
    assert sorted(listed) == sorted({path.name for path in face.parent.glob("*.py")} - {"__init__.py"} | folders)


def test_the_list_of_a_face_is_read_line_by_line():
    assert _listed('"""Charter.\n\n::\n\n    a.py  one\n    b/    two\n    c.py\n\nd.py  not in the list\n"""') == [
        "a.py",
        "b/",
    ]


@pytest.mark.parametrize("face", TOP_FACES, ids=lambda path: path.parent.name)
def test_every_face_begins_with_the_charter_on_the_architecture_page(face):
    charter = ast.get_docstring(ast.parse(face.read_text(encoding="utf-8"))).partition("\n")[0]
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert charter.endswith(".")
    assert f"| `{face.parent.name}` | {charter.removesuffix('.')} |" in page


def test_every_module_imports_with_the_extras_installed():
    for path in MODULES:
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        assert importlib.import_module(".".join(part for part in parts if part != "__init__"))


def test_a_package_loads_when_its_name_is_written_out():
    code = "import sys, phiscope; print('phiscope.surgery' in sys.modules, phiscope.surgery.damage.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "damage"]
