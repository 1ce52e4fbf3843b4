"""An OpenID provider that speaks the protocol as HelseID does: discovery, PAR, code with PKCE, private_key_jwt,
DPoP with a nonce, iss in the answer. It refuses what HelseID refuses, and misbehaves where a test says so.

It shares no code with the server: tokens are made and read with joserfc's own JWT functions.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey, import_key
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

ALL = ["RS256", "PS256", "ES256", "ES384", "RS384", "PS384"]
KEY = RSAKey.generate_key(2048, {"kid": "provider-1", "use": "sig"})


class Refusal(Exception):
    """An OAuth error."""


class FakeProvider:
    """`person` has the claims of whoever is signed in there. `public` is the client's registered public key,
    `secret` its secret. `twist` changes the claims of an id_token before it is signed, `answers` the
    parameters with which the browser is sent back, `sign` makes the token of its claims."""

    def __init__(self, issuer: str, client_id: str, redirect_uri: str, clock: Callable[[], datetime]) -> None:
        self.issuer, self.client_id, self.redirect_uri, self.clock = issuer, client_id, redirect_uri, clock
        self.person: dict[str, Any] = {}
        self.public: dict[str, Any] | None = None
        self.secret = ""
        self.par = self.dpop = self.asks_nonce = False
        self.key = KEY
        self.extra: dict[str, Any] = {}
        self.twist: Callable[[dict[str, Any]], Any] = lambda claims: None
        self.answers: Callable[[dict[str, str]], Any] = lambda answer: None
        self.token_answer: Callable[[dict[str, Any]], Any] = lambda answer: None
        self.sign: Callable[[dict[str, Any]], str] = self._sign
        self.log: list[str] = []
        self._requests: dict[str, dict[str, str]] = {}
        self._codes: dict[str, dict[str, str]] = {}
        self._seen: set[str] = set()
        routes = [
            Route("/.well-known/openid-configuration", self._configuration),
            Route("/jwks", self._jwks),
            Route("/par", self._par, methods=["POST"]),
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes, exception_handlers={Refusal: _refused})

    def _configuration(self, request: Request) -> Response:
        self.log.append("configuration")
        published = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "authorization_response_iss_parameter_supported": True,
            "id_token_signing_alg_values_supported": ["RS256", "PS256"],
        }
        if self.par:
            published["pushed_authorization_request_endpoint"] = f"{self.issuer}/par"
        return JSONResponse(published | self.extra)

    def _jwks(self, request: Request) -> Response:
        self.log.append("jwks")
        return JSONResponse({"keys": [{**self.key.as_dict(private=False), "kid": self.key.kid}]})

    async def _par(self, request: Request) -> Response:
        form = await self._form(request)
        self._client(request, form)
        self._check_request(form)
        uri = f"urn:ietf:params:oauth:request_uri:{secrets.token_urlsafe()}"
        self._requests[uri] = form
        return JSONResponse({"request_uri": uri, "expires_in": 60}, 201)

    async def _authorize(self, request: Request) -> Response:
        """Whoever sits there is signed in already, and is sent back at once."""
        self.log.append("authorize")
        asked = dict(request.query_params)
        if self.par and set(asked) != {"client_id", "request_uri"}:
            raise Refusal("invalid_request")
        if self.par:
            asked = self._requests.pop(asked["request_uri"])
        self._check_request(asked)
        code = secrets.token_urlsafe()
        self._codes[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.issuer}
        self.answers(answer)
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer)}", 302)

    async def _token(self, request: Request) -> Response:
        form = await self._form(request)
        self._client(request, form)
        if self.dpop:
            nonce = self._proof(request)
            if self.asks_nonce and nonce != "fresh":
                return JSONResponse({"error": "use_dpop_nonce"}, 400, {"dpop-nonce": "fresh"})
        asked = self._codes.pop(form.get("code", ""), None)
        if asked is None or form["redirect_uri"] != asked["redirect_uri"]:
            raise Refusal("invalid_grant")
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(challenge).rstrip(b"=").decode() != asked["code_challenge"]:
            raise Refusal("invalid_grant")
        now = int(self.clock().timestamp())
        claims = {
            "iss": self.issuer, "aud": self.client_id, "iat": now, "nbf": now, "exp": now + 300,
            "nonce": asked["nonce"], **self.person,
        }  # fmt: skip
        self.twist(claims)
        answer = {
            "access_token": "not-for-us",
            "token_type": "DPoP" if self.dpop else "Bearer",
            "id_token": self.sign(claims),
        }
        self.token_answer(answer)
        return JSONResponse(answer)

    def _sign(self, claims: dict[str, Any]) -> str:
        header = {"alg": "RS256", "kid": self.key.kid, "typ": "JWT"}
        return jwt.encode(header, claims, self.key, algorithms=ALL)

    async def _form(self, request: Request) -> dict[str, str]:
        self.log.append(request.url.path.strip("/"))
        pairs = parse_qs((await request.body()).decode(), strict_parsing=True)
        if any(len(values) > 1 for values in pairs.values()):
            raise Refusal("invalid_request")
        return {name: values[0] for name, values in pairs.items()}

    def _check_request(self, asked: dict[str, str]) -> None:
        right = (
            asked["client_id"] == self.client_id
            and asked["redirect_uri"] == self.redirect_uri
            and asked["response_type"] == "code"
            and asked["code_challenge_method"] == "S256"
            and len(asked["code_challenge"]) == 43
            and "openid" in asked["scope"].split()
            and min(len(asked["state"]), len(asked["nonce"])) >= 32
        )
        if not right:
            raise Refusal("invalid_request")

    def _client(self, request: Request, form: dict[str, str]) -> None:
        if self.secret:
            pair = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
            if request.headers.get("authorization") != f"Basic {pair}":
                raise Refusal("invalid_client")
            return
        if form["client_assertion_type"] != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
            raise Refusal("invalid_client")
        token = jwt.decode(form["client_assertion"], import_key(self.public or {}), algorithms=ALL)
        claims, now = token.claims, self.clock().timestamp()
        right = (
            claims["iss"] == claims["sub"] == form["client_id"] == self.client_id
            and claims["aud"] == self.issuer
            and now < claims["exp"] <= now + 60
            and claims["nbf"] <= now
            and claims["jti"] not in self._seen
            and token.header["kid"] == (self.public or {})["kid"]
        )
        if not right:
            raise Refusal("invalid_client")
        self._seen.add(claims["jti"])

    def _proof(self, request: Request) -> str:
        """The nonce of a DPoP proof that is right."""
        text = request.headers["dpop"]
        header = json.loads(base64.urlsafe_b64decode(text.split(".")[0] + "=="))
        token = jwt.decode(text, ECKey.import_key(header["jwk"]), algorithms=["ES256"])
        right = (
            header["typ"] == "dpop+jwt"
            and "d" not in header["jwk"]
            and token.claims["htm"] == request.method
            and token.claims["htu"] == f"{self.issuer}/token"
            and abs(token.claims["iat"] - self.clock().timestamp()) < 5
            and token.claims["jti"] not in self._seen
        )
        if not right:
            raise Refusal("invalid_dpop_proof")
        self._seen.add(token.claims["jti"])
        return str(token.claims.get("nonce", ""))


def _refused(request: Request, refusal: Exception) -> Response:
    return JSONResponse({"error": str(refusal)}, 400)
