"""Whether the display that came with a code is one of its names, in the languages asked for.

https://hl7.org/fhir/R4/valueset-operation-validate-code.html (display, displayLanguage)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from terminology.asked import Asked
from terminology.code_system import Designation
from terminology.findings import Finding, finding
from terminology.languages import Languages, primary, speaks

_SPACE = re.compile(r"\s+")


def wrong_display(
    texts: Sequence[Designation],
    display: str,
    system: str,
    code: str,
    default_language: str | None,
    asked: Asked,
    where: str,
) -> Finding | None:
    """What is to say about a display, None where it is right. `texts` are all that the code is called."""
    wanted = asked.wanted
    severity = "warning" if asked.flag("lenient-display-validation") else "error"
    speaking = [text for text in texts if _speaks(text, wanted)]
    matching = [text for text in speaking if _same(text.value, display)]
    if matching:
        return _ended(matching, texts, display, code, where)
    words = {"display": display, "system": system, "code": code, "languages": asked.language_names}
    if not texts:
        return finding("NO_VALID_DISPLAY_AT_ALL", where, **words)
    if not speaking:
        if any(_same(text.value, display) for text in _near(texts, wanted)):
            return None
        return _in_no_such_language(texts, display, default_language, words, severity, where)
    spaced = any(_same(_spaced(text.value), _spaced(display)) for text in speaking)
    message = "Display_Name_WS_for__should_be_one_of__instead_of" if spaced else _WRONG
    names = [text for text in speaking if text.displays] or speaking
    return finding(message, where, severity, valid=_valid(names), **words)


_WRONG = "Display_Name_for__should_be_one_of__instead_of"


def _speaks(text: Designation, wanted: Languages | None) -> bool:
    if wanted is None or text.language is None or "*" in wanted.tags:
        return True
    return any(speaks(tag, text.language) for tag in wanted.named)


def _near(texts: Sequence[Designation], wanted: Languages | None) -> list[Designation]:
    """What readers of a language are shown where it has no text: nynorsk for bokmål, and back.

    Not English, which is a language of its own here: that it stands in is worth a word.
    """
    for tag in wanted.near if wanted else ():
        speaking = [t for t in texts if t.language and speaks(tag, t.language)]
        if speaking and primary(tag) != "en":
            return speaking
    return []


def _ended(
    matching: list[Designation],
    texts: Sequence[Designation],
    display: str,
    code: str,
    where: str,
) -> Finding | None:
    """A name that the code has no more; it is known all the same, and so only warned of."""
    if any(text.status not in ("withdrawn", "deprecated", "inactive") for text in matching):
        return None
    valid = ", ".join(f'"{text.value}"' for text in texts if text.displays and text.status is None)
    return finding(
        "INACTIVE_DISPLAY_FOUND",
        where,
        display=display,
        code=code,
        status=matching[0].status,
        valid=valid,
    )


def _in_no_such_language(
    texts: Sequence[Designation],
    display: str,
    default_language: str | None,
    words: dict[str, str],
    severity: str,
    where: str,
) -> Finding:
    """Nothing in the languages asked for: the names in the code system's own language will do."""
    own = primary(default_language or "en")
    in_own = [text for text in texts if text.language is None or primary(text.language) == own]
    if any(_same(text.value, display) for text in in_own):
        return finding("NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_OK", where, **words)
    default = next((text.value for text in texts if text.main), texts[0].value)
    return finding("NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_ERR", where, severity, default=default, **words)


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _spaced(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


def _valid(names: Sequence[Designation]) -> str:
    """`Valid display is 'Weight' (en)`, or one of several."""
    shown = [f"'{n.value}' ({n.language})" if n.language else f"'{n.value}'" for n in names]
    shown = list(dict.fromkeys(shown))
    if len(shown) == 1:
        return f"Valid display is {shown[0]}"
    return f"Valid display is one of {len(shown)} choices: {', '.join(shown[:-1])} or {shown[-1]}"
