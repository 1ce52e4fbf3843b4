"""HL7's official R4 examples (hl7.fhir.r4.examples 4.0.1, 5,306 resources), fetched once and kept in a cache.

    python tests/corpus/examples.py           # fetch, unpack, check the hash
    python tests/corpus/examples.py --check   # every example to XML and back

They are HL7's (CC0) and not committed. VARDE_EXAMPLES names another folder than the cache of the user.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
import urllib.request
from pathlib import Path

URL = "https://registry.npmjs.org/hl7.fhir.r4.examples/-/hl7.fhir.r4.examples-4.0.1.tgz"
SHA256 = "dce87f1b5b9341867033f7d1f544fa1b5232503f6d62813887ac6b8a8b6cb682"
FOLDER = Path(
    os.environ.get("VARDE_EXAMPLES") or Path.home() / ".cache" / "varde" / "hl7.fhir.r4.examples-4.0.1"
)
ABSENT = "the official examples are not here; python tests/corpus/examples.py fetches them"
# Descriptions of the package, no resources.
_OTHERS = frozenset({"package.json", ".index.json"})


def examples() -> list[Path]:
    """The files, in order of their names; none where they have not been fetched."""
    return sorted(path for path in FOLDER.glob("*.json") if path.name not in _OTHERS)


def fetch() -> None:
    """Download and unpack them; ValueError for anything but the package that is expected."""
    with urllib.request.urlopen(URL) as answer:
        package = answer.read()
    if hashlib.sha256(package).hexdigest() != SHA256:
        raise ValueError("The package is not the one that was published as 4.0.1")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            name = Path(member.name).name
            if file and name.endswith(".json"):
                (FOLDER / name).write_bytes(file.read())


def check() -> None:
    """Each example to XML and back; prints those that differ."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.xml.test_resource_xml import differs

    files = examples()
    bad = [path.name for path in files if differs(path.read_bytes())]
    print(f"{len(files)} examples, {len(bad)} differ", *bad, sep="\n")
    sys.exit(bool(bad))


if __name__ == "__main__":
    if "--check" in sys.argv:
        check()
    fetch()
    print(f"{len(examples())} examples in {FOLDER}")
