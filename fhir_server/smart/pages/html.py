"""HTML that is escaped by construction: text becomes markup only through `element`.

https://html.spec.whatwg.org/multipage/syntax.html
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# What a name may hold to look like other text than it is: controls, and what turns the reading direction.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_NAME = re.compile(r"[a-z][a-z0-9\-]*")
_VOID = frozenset(("br", "hr", "img", "input", "link", "meta"))


class Html(str):
    """Markup: what `element` and `text` made, and nothing else."""

    __slots__ = ()


Child = str | None | Iterable["Child"]
Attribute = str | int | bool | None


def text(content: str) -> Html:
    """Any text as markup; Html stays what it is."""
    return content if isinstance(content, Html) else Html(html.escape(_UNSEEN.sub("", content)))


def element(tag: str, /, *children: Child, **attributes: Attribute) -> Html:
    """An element; `class_="x"` and `aria_label="y"` are the attributes class and aria-label.

    An attribute that is True stands alone; None and False leave it out. Children that are None are left out.
    """
    start = tag + "".join(_attribute(key, value) for key, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{start}>")
    return Html(f"<{start}>{joined(*children)}</{tag}>")


def joined(*children: Child) -> Html:
    """Children one after the other."""
    return Html("".join(_markup(child) for child in children))


def _markup(child: Child) -> str:
    if child is None:
        return ""
    return text(child) if isinstance(child, str) else joined(*child)


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if not _NAME.fullmatch(name) or name.startswith("on") or name == "style":
        raise ValueError(f"No attribute of a page: {name}")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{text(str(value))}"'
