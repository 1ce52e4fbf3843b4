"""What apps ask first: where to sign in, and what is supported.

https://hl7.org/fhir/smart-app-launch/conformance.html, https://www.rfc-editor.org/rfc/rfc8414,
https://openid.net/specs/openid-connect-discovery-1_0.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.smart import keys, scopes
from fhir_server.smart.jose import CLIENTS
from fhir_server.smart.terms import Places
from fhir_server.smart.token_endpoint import GRANTS

CAPABILITIES = (
    "launch-ehr", "launch-standalone", "authorize-post",
    "client-public", "client-confidential-symmetric", "client-confidential-asymmetric",
    "sso-openid-connect", "context-banner", "context-style",
    "context-ehr-patient", "context-ehr-encounter", "context-standalone-patient",
    "permission-offline", "permission-online", "permission-patient", "permission-user",
    "permission-v1", "permission-v2",
)  # fmt: skip
_EXAMPLES = tuple(f"{level}/*.{may}" for level in ("patient", "user", "system") for may in ("rs", "cruds"))


def smart_configuration(places: Places) -> dict[str, Any]:
    """/.well-known/smart-configuration"""
    return {**_common(places), "capabilities": list(CAPABILITIES)}


def openid_configuration(places: Places) -> dict[str, Any]:
    """/.well-known/openid-configuration, and the metadata of RFC 8414"""
    return {
        **_common(places),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [keys.ALGORITHM],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "fhirUser"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def _common(places: Places) -> dict[str, Any]:
    methods = ["client_secret_basic", "private_key_jwt"]
    algorithms = sorted(CLIENTS)
    return {
        "issuer": places.issuer,
        "jwks_uri": places.of("jwks"),
        "authorization_endpoint": places.of("authorize"),
        "token_endpoint": places.of("token"),
        "introspection_endpoint": places.of("introspect"),
        "revocation_endpoint": places.of("revoke"),
        "scopes_supported": [*scopes.OTHERS, *_EXAMPLES],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANTS),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": [*methods, "none"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": [*methods, "none"],
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "authorization_response_iss_parameter_supported": True,
    }
