"""Codes, units and identifiers by themselves: of their system, by their right name, the system absolute.

https://hl7.org/fhir/R4/datatypes.html#Coding, https://hl7.org/fhir/R4/terminologies.html. The thorough
checks of Coding, Quantity, Identifier and Narrative call these; what is not known here is never an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from profiles.problems import Place, Problems, inside
from terminology.asked import Asked
from terminology.code_system import CodeSystem, designations
from terminology.displays import wrong_display
from terminology.identifiers import well_formed
from terminology.implicit import UCUM
from terminology.languages import Languages, parse

Value = Mapping[str, Any]
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
# XML has these five; HTML's others (&nbsp;, &copy;) are not declared there.
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)([A-Za-z][A-Za-z0-9]*);")


def is_absolute(uri: str) -> bool:
    """Whether a URI says its scheme. https://www.rfc-editor.org/rfc/rfc3986#section-4.3"""
    return _ABSOLUTE.match(uri) is not None


def known_code(value: Value, at: Place, out: Problems) -> None:
    """A Coding: its system is absolute and no value set, it has the code, and by this name."""
    system, code = value.get("system"), value.get("code")
    if type(system) is not str:
        return
    if not is_absolute(system):
        out.add("invalid", "Coding.system must be absolute, not a local reference", inside(at, "system"))
        return
    if is_value_set(system, out):
        text = f"{system[:200]} is a value set: Coding.system names the code system"
        out.add("invalid", text, inside(at, "system"))
        return
    if type(code) is not str:
        return
    if not may_have(system, code, out):
        out.add("code-invalid", f"The code is none of the code system {system[:200]}", inside(at, "code"))
    elif type(display := value.get("display")) is str:
        said = misnamed(system, code, display, out)
        if said:
            out.add("invalid", said, inside(at, "display"))


def is_value_set(url: str, out: Problems) -> bool:
    """Whether a URL that should be a code system's is known as a value set's."""
    known = out.context.artifact
    return known("CodeSystem", url) is None and known("ValueSet", url) is not None


def may_have(system: str, code: str, out: Problems) -> bool:
    """False where it is certain that the system has no such code."""
    return out.context.known(system, code) is not False and well_formed(system, code)


def misnamed(system: str, code: str, display: str, out: Problems) -> str | None:
    """What to say of a display that is none of its concept's; None where it is one, or cannot be judged."""
    known: CodeSystem | None = None if system == UCUM else out.context.system(system)
    concept = known.find(code) if known else None
    texts = designations(known, concept) if known and concept else ()
    if not known or not texts:
        return None
    asked = Asked(languages=_languages(out))
    wrong = wrong_display(texts, display, system, code, known.language, asked, "")
    if wrong is None or wrong.severity != "error":
        return None
    names = list(dict.fromkeys(f"'{text.value}'" for text in texts if text.displays))
    return f"The display is no name of this concept, which is called {' or '.join(names[:5])[:1000]}"


def _languages(out: Problems) -> Languages | None:
    """The language that the resource says it is in."""
    language = out.resource.get("language") if type(out.resource) is dict else None
    try:
        return parse(language) if type(language) is str else None
    except ValueError:
        return None


def known_unit(value: Value, at: Place, out: Problems) -> None:
    """A Quantity: its system is absolute, and a unit in UCUM is written in UCUM."""
    system, code = value.get("system"), value.get("code")
    if type(system) is not str:
        return
    if not is_absolute(system):
        out.add("invalid", "The system of a unit must be absolute", inside(at, "system"))
    elif system == UCUM and type(code) is str and out.context.known(UCUM, code) is False:
        out.add("code-invalid", "The code of the unit is no UCUM unit", at)


def named_absolutely(value: Value, at: Place, out: Problems) -> None:
    """An Identifier: its system is absolute. https://hl7.org/fhir/R4/datatypes.html#Identifier"""
    system = value.get("system")
    if type(system) is str and not is_absolute(system):
        out.add("invalid", "Identifier.system must be absolute, not a local reference", inside(at, "system"))


def without_entities(value: Value, at: Place, out: Problems) -> None:
    """A Narrative: XHTML is XML and has no HTML entities. https://hl7.org/fhir/R4/narrative.html"""
    div = value.get("div")
    if type(div) is str and (found := _ENTITY.search(div)):
        text = f"XHTML has no entity &{found[1][:40]}; - write the character itself, or its number"
        out.add("invalid", text, inside(at, "div"))


def absolute(value: Any, _: Any, at: Place, out: Problems) -> None:
    """A canonical is absolute, or a fragment. https://hl7.org/fhir/R4/references.html#canonical"""
    if type(value) is str and not value.startswith("#") and not is_absolute(value):
        out.add("invalid", f"{at[2]} must be an absolute URL, or # and the id of a contained resource", at)


def coded(values: Any, extended: Any, at: Place, out: Problems) -> None:
    """Extensions cannot stand in for a code that a required binding asks for."""
    if type(extended) is list:
        given = values if type(values) is list else []
        for index, item in enumerate(extended):
            if item is not None and (index >= len(given) or given[index] is None):
                _uncoded((*at, index), out)
    elif extended is not None and values is None:
        _uncoded(at, out)


def _uncoded(at: Place, out: Problems) -> None:
    out.add("code-invalid", f"{at[2]} has no code, and one of its required value set is needed", at)
