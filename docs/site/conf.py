"""Settings of Sphinx; `docs/site/build.py` lays the sources out and calls it."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from pictures import drawn_by_an_example
from sphinx.application import Sphinx

import phiscope

project = "phiscope"
author = "The phiscope maintainers"
copyright = "the phiscope maintainers, Apache-2.0"
version = release = phiscope.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery", "name_links"]
root_doc = "index"
exclude_patterns = ["examples/**", "**/GALLERY_HEADER.rst"]
# Words in single backticks are names of the code where there is such a name, and stay plain words elsewhere.
default_role = "py:obj"

# Headings get the addresses that GitHub gives them, so that a link works in both places.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline", "colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
autodoc_type_aliases = {"FloatArray": "FloatArray", "IntArray": "IntArray"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Source", "notes_style")]
napoleon_use_rtype = False
# Attributes are a list in their class, not entries a second time beside its fields.
napoleon_use_ivar = True
# Optional parts of frameworks that are loaded in methods; types named only for checkers cannot be read at run time.
suppress_warnings = ["sphinx_autodoc_typehints", "config.cache"]

# Everything a page needs lies beside it: no fonts, no scripts from elsewhere.
html_theme = "furo"
html_title = f"phiscope {version}"
html_static_path: list[str] = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}

sphinx_gallery_conf = {
    "examples_dirs": ["examples/gallery", "examples/whole"],
    "gallery_dirs": ["gallery", "gallery/whole"],
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"__init__\.py",
    "image_scrapers": (drawn_by_an_example,),
    "capture_repr": (),
    "reset_modules": (),
    "abort_on_example_error": True,
    "download_all_examples": False,
    # Its page of times loads scripts from elsewhere.
    "write_computation_times": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "within_subsection_order": "FileNameSortKey",
    "plot_gallery": "True",
    # Of an example that draws nothing.
    "default_thumb_file": str(Path(__file__).parents[1] / "guide" / "images" / "minimal.png"),
}

# What a framework warns of in an example is its own affair and depends on versions.
warnings.filterwarnings("ignore", module=r"(lightning|keras|transformers|accelerate|torch)\b")

_OUTSIDE = re.compile(r"(``.+?``|`.+?`)")
_ARGUMENT = re.compile(r"\s*\*+\w+\s*(\(.*?\))?:")


def _plain(app: Sphinx, what: str, name: str, subject: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text with names in backticks: what reStructuredText reads as marks are only letters."""
    literal: int | None = None
    for place, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent <= literal:
            literal = None
        if literal is None and not line.lstrip().startswith((">>>", "...")) and not _ARGUMENT.match(line):
            parts = _OUTSIDE.split(line)
            lines[place] = "".join(part if part.startswith("`") else _escaped(part) for part in parts)
        if literal is None and line.rstrip().endswith("::"):
            literal = indent


def _escaped(text: str) -> str:
    return re.sub(r"(?<=\w)_(?!\w)", r"\\_", re.sub(r"([|*])", r"\\\1", text))


def setup(app: Sphinx) -> None:
    """Connect what changes docstrings, before Napoleon reads them."""
    app.connect("autodoc-process-docstring", _plain, priority=400)
