"""Names of phiscope in code, in a sentence or in a block, lead to their entry of the reference.

Pages are Markdown that is read on GitHub, too, so the sources name things plainly and the site adds the links.
sphinx-codeautolink links blocks, not sentences, and forgets its links where a page is not read anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # The tests read this module in an environment without the site's libraries.
    from sphinx.application import Sphinx

BLOCK = re.compile(r'<span class="n">phiscope</span>((?:<span class="o">\.</span><span class="n">\w+</span>)+)')
SENTENCE = re.compile(r'(<code class="docutils literal notranslate"><span class="pre">)(phiscope(?:\.\w+)+)')
LINKED = re.compile(r"(<a\b.*?</a>)", re.DOTALL)
TAG = re.compile(r"<[^>]+>")


def link_names(body: str, addresses: Mapping[str, str]) -> str:
    """A page with every known name of phiscope as a link, outside of links that are there.

    Args:
        body: HTML.
        addresses: of full names such as ``phiscope.measure``, as the page has to write them.

    Example:
        >>> block = '<span class="n">phiscope</span><span class="o">.</span><span class="n">view</span>'
        >>> link_names(block, {"phiscope.view": "v.html"}) == f'<a class="name" href="v.html">{block}</a>'
        True
    """

    def in_block(found: re.Match[str]) -> str:
        pieces = re.findall(r'<span class="o">\.</span><span class="n">\w+</span>', found[1])
        # Of m = phiscope.open_run("x").records the longest known beginning is linked.
        for count in range(len(pieces), 0, -1):
            head = '<span class="n">phiscope</span>' + "".join(pieces[:count])
            address = addresses.get(TAG.sub("", head))
            if address is not None:
                return f'<a class="name" href="{address}">{head}</a>{"".join(pieces[count:])}'
        return found[0]

    def in_sentence(found: re.Match[str]) -> str:
        address = addresses.get(found[2])
        return found[0] if address is None else f'{found[1]}<a class="name" href="{address}">{found[2]}</a>'

    parts = LINKED.split(body)
    return "".join(
        part if place % 2 else SENTENCE.sub(in_sentence, BLOCK.sub(in_block, part)) for place, part in enumerate(parts)
    )


def _on_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    if doctree is None or "body" not in context:
        return
    objects = app.env.domains.python_domain.objects
    addresses = {
        name: app.builder.get_relative_uri(page, entry.docname) + f"#{entry.node_id}"
        for name, entry in objects.items()
        # A name on its own page would lead to where one is.
        if entry.docname != page
    }
    context["body"] = link_names(context["body"], addresses)


def setup(app: Sphinx) -> None:
    """Link when a page is written."""
    app.connect("html-page-context", _on_page)
