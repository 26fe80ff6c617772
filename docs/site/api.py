"""Pages of the public names, from their docstrings: one for each name of ``phiscope``, one for each other face."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType

from staging import Stage

import phiscope

FACES = (
    "surgery",
    "theory",
    "analysis",
    "integrations",
    "observe",
    "trackers",
    "runs",
    "network",
    "figures",
    "studies",
    "errors",
)
"""Packages and modules whose public names have a page, beside those at the top."""


def stage_api(stage: Stage) -> None:
    """Write the pages, from what can be imported."""
    lines = [_title("Public names"), "What ``import phiscope`` gives. The pages below come from the docstrings.", ""]
    lines += _table(("phiscope", name) for name in phiscope.__all__)
    lines += ["", _title("Rooms", "-"), "Names of packages that are used by themselves.", ""]
    lines += [".. toctree::", "   :hidden:", "", *(f"   phiscope.{name}" for name in phiscope.__all__), ""]
    lines += [".. toctree::", "   :maxdepth: 1", "", *(f"   rooms/{face}" for face in FACES), ""]
    stage.put("api/index.rst", "\n".join(lines))
    for name in phiscope.__all__:
        stage.put(f"api/phiscope.{name}.rst", "\n".join([_title(f"phiscope.{name}"), *_directive("phiscope", name)]))
    for face in FACES:
        stage.put(f"api/rooms/{face}.rst", _face_page(face))
    stage.remove_the_rest(["api"])


def _face_page(face: str) -> str:
    module = importlib.import_module(f"phiscope.{face}")
    lines = [_title(f"phiscope.{face}"), f".. automodule:: phiscope.{face}", "   :no-members:", ""]
    at_the_top = []
    for home, name in public_names(module):
        if getattr(phiscope, name, None) is getattr(importlib.import_module(home), name):
            at_the_top.append(name)
        else:
            lines += _directive(home, name)
    if at_the_top:
        lines += ["", "Also at the top: " + ", ".join(f":doc:`phiscope.{n} </api/phiscope.{n}>`" for n in at_the_top)]
    return "\n".join([*lines, ""])


def public_names(module: ModuleType) -> list[tuple[str, str]]:
    """Where each public name of a face is reached, and the name: by its list, or else what its modules define."""
    if hasattr(module, "__all__"):
        return [(module.__name__, name) for name in module.__all__]
    if not hasattr(module, "__path__"):
        return [(module.__name__, name) for name, value in vars(module).items() if _is_own(module, name, value)]
    found = []
    for _, name, _ in pkgutil.iter_modules(module.__path__):
        inside = importlib.import_module(f"{module.__name__}.{name}")
        found += [(inside.__name__, key) for key, value in vars(inside).items() if _is_own(inside, key, value)]
    return found


def _is_own(module: ModuleType, name: str, value: object) -> bool:
    made_here = getattr(value, "__module__", "") == module.__name__
    return made_here and not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value))


def _directive(home: str, name: str) -> list[str]:
    value = getattr(importlib.import_module(home), name)
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, Exception) else "autoclass"
        members = [] if kind == "autoexception" else ["   :members:"]
        return [f".. {kind}:: {home}.{name}", *members, ""]
    if inspect.isfunction(value):
        return [f".. autofunction:: {home}.{name}", ""]
    if name in _DATA:
        return [f".. py:data:: {home}.{name}", "", f"   {_DATA[name]}", ""]
    return [f".. autodata:: {home}.{name}", "   :no-value:", ""]


def _table(names: object) -> list[str]:
    lines = [".. list-table::", "   :widths: 25 75", ""]
    for home, name in names:  # type: ignore[attr-defined]
        value = getattr(importlib.import_module(home), name)
        told = inspect.getdoc(value) if inspect.isclass(value) or inspect.isfunction(value) else _DATA.get(name)
        first = (told or "").partition("\n")[0].replace("*", r"\*").replace("|", r"\|")
        lines += [f"   * - :doc:`phiscope.{name}`", f"     - {first}"]
    return lines


_DATA = {"DEFINITIONS": "Every number's definition row by its name."}


def _title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"
