"""The R4 model, and the published expressions with the types that they are for."""

from __future__ import annotations

import pytest

from profiles import definitions


@pytest.fixture(scope="session")
def model():
    return definitions.load()


@pytest.fixture(scope="session")
def published(model):
    """(resource type, parameter as published) of every search parameter with an expression."""
    found = []
    for parameter in model.all_search_parameters:
        if parameter.expression:
            types = [base for base in parameter.base if base in model.resource_types] or ["Patient"]
            found += [(type, parameter) for type in types]
    return found
