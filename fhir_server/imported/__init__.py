"""Large code systems in files of their own: imported once, read concept by concept, never held in memory.

    varde terminology import sct SnomedCT_..._PRODUCTION_....zip   (see command.py)

A file is written beside its final name, and gets that name when all of it is there: what can be seen is
whole. It is reference data, the same for every process, and so it is not in the store.
"""

from fhir_server.imported.problem import ImportProblem
from fhir_server.imported.system import Imported, ImportedSystem

__all__ = ["ImportProblem", "Imported", "ImportedSystem"]
