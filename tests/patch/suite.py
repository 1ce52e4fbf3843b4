"""HL7's patch cases, read from where the suites are."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

SUITE = Path(os.environ.get("VARDE_SUITES", Path(__file__).parents[3] / "shared" / "suites")) / "patch"
ABSENT = "the patch suite is not here (VARDE_SUITES)"


def json_cases() -> list[dict[str, Any]]:
    path = SUITE / "json-patch-tests.json"
    return json.loads(path.read_text()) if path.exists() else []


def xml_cases(name: str) -> list[ET.Element]:
    path = SUITE / name
    if not path.exists():
        return []
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
    return ET.parse(path, parser).getroot().findall("case")
