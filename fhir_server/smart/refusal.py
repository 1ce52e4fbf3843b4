"""A request to the authorization server that is refused, as OAuth says it.

https://www.rfc-editor.org/rfc/rfc6749#section-5.2
"""

from __future__ import annotations


class Refusal(Exception):
    """`error` is a code of OAuth's, the message its error_description: for developers, without secrets.

    `retry`: seconds after which to try again.
    """

    def __init__(self, error: str, description: str, status: int = 400, *, retry: int | None = None) -> None:
        self.error = error
        self.status = status
        self.retry = retry
        super().__init__(description)

    @property
    def body(self) -> dict[str, str]:
        return {"error": self.error, "error_description": str(self)}


def unknown_client(description: str) -> Refusal:
    return Refusal("invalid_client", description, 401)
