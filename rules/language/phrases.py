"""The timing phrases between two expressions: `starts 3 days or more before day of start`.

https://cql.hl7.org/03-developersguide.html#timing-phrases
"""

from __future__ import annotations

from typing import Any

from rules.language.cursor import Cursor
from rules.language.words import PRECISIONS

_AFTER_END = ("same", "properly", "during", "included", "before", "after", "on", "within", "less", "more")


class Phrases(Cursor):
    """Reads an interval operator phrase into the fields of a Timing, all but its two sides."""

    def starts_phrase(self) -> bool:
        token, following = self.token, self.ahead()
        if token.kind == "number":
            return self._starts_offset()
        if token.kind != "word":
            return False
        if token.text in ("less", "more"):
            return following.text == "than"
        if token.text == "properly":
            return following.text in ("includes", "during", "included", "within")
        if token.text == "included":
            return following.text == "in"
        if token.text == "on":
            return following.text == "or"
        return token.text in _SIMPLE

    def _starts_offset(self) -> bool:
        unit = self.ahead()
        return unit.kind == "string" or unit.kind == "word"

    def phrase(self) -> dict[str, Any]:
        end = None
        if self.is_word("starts", "ends", "occurs") and self._qualifies():
            end = {"starts": "start", "ends": "end", "occurs": None}[self.tokens[self.i].text]
            self.i += 1
        if self.is_word("starts", "ends"):
            kind = "Starts" if self.take_word("starts", "ends") == "starts" else "Ends"
            return {"kind": kind, "precision": self.precision_of()}
        return {"left_end": end, **self._relation()}

    def _qualifies(self) -> bool:
        following = self.ahead()
        return following.kind == "number" or (following.kind == "word" and following.text in _AFTER_END)

    def _relation(self) -> dict[str, Any]:
        if self.skip_word("same"):
            return self._same()
        if self.is_word("meets", "overlaps"):
            kind = self.take_word("meets", "overlaps").capitalize()
            return {"kind": kind, "side": self.skip_word("before", "after"), "precision": self.precision_of()}
        proper = bool(self.skip_word("properly"))
        if self.skip_word("includes"):
            return {
                "kind": "Includes",
                "proper": proper,
                "precision": self.precision_of(),
                **self._right_end(),
            }
        if self.skip_word("during") or self.skip_words("included", "in"):
            return {"kind": "IncludedIn", "proper": proper, "precision": self.precision_of()}
        if self.skip_word("within"):
            offset = self.quantity()
            self.take_word("of")
            return {"kind": "Within", "proper": proper, "offset": offset, **self._right_end()}
        return self._before_or_after()

    def _same(self) -> dict[str, Any]:
        precision = self.skip_word(*PRECISIONS)
        if self.skip_word("as"):
            kind = "SameAs"
        else:
            self.take_word("or")
            kind = "SameOrBefore" if self.take_word("before", "after") == "before" else "SameOrAfter"
        return {"kind": kind, "precision": precision, **self._right_end()}

    def _before_or_after(self) -> dict[str, Any]:
        offset, qualifier = None, None
        if self.is_word("less", "more"):
            qualifier = f"{self.take_word('less', 'more')} {self.take_word('than')}"
            offset = self.quantity()
        elif self.token.kind == "number":
            offset = self.quantity()
            if self.are_words("or", "more") or self.are_words("or", "less"):
                self.i += 1
                qualifier = f"or {self.take_word('more', 'less')}"
        on = self.skip_words("on", "or")
        kind = self.take_word("before", "after").capitalize()
        if not on:
            on = self.skip_words("or", "on")
        found: dict[str, Any] = {"kind": kind, "on": on, "offset": offset, "qualifier": qualifier}
        return {**found, "precision": self.precision_of(), **self._right_end()}

    def _right_end(self) -> dict[str, Any]:
        if self.is_word("start", "end") and not (self.ahead().kind == "word" and self.ahead().text == "of"):
            return {"right_end": self.take_word("start", "end")}
        return {}

    def precision_of(self) -> str | None:
        """`day of`, read, if it is there."""
        if self.is_word(*PRECISIONS) and self.ahead().text == "of" and self.ahead().kind == "word":
            self.i += 2
            return self.tokens[self.i - 2].text
        return None


_SIMPLE = frozenset(
    {
        "same",
        "includes",
        "during",
        "before",
        "after",
        "within",
        "meets",
        "overlaps",
        "starts",
        "ends",
        "occurs",
    }
)
