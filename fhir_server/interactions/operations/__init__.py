"""Operations: what is asked of the server by a name that begins with $.

https://hl7.org/fhir/R4/operations.html. Each is defined in profiles/published/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_BASE: Final = "https://varde.dev/fhir/OperationDefinition"
# Resource type, "" for the system -> the operations' names, and their definitions.
DEFINED: Final[Mapping[str, Mapping[str, str]]] = {
    "": {"cql": f"{_BASE}/cql"},
    "Library": {"evaluate": f"{_BASE}/library-evaluate"},
}
