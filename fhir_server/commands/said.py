"""What a command says when it fails: on standard error, in one line, as it is."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

errors = Console(stderr=True, soft_wrap=True)


def fail(what: str, message: object) -> NoReturn:
    """Says "what: message" and ends the command with status 1."""
    errors.print(f"[bold red]{what}:[/] {escape(str(message))}", highlight=False)
    raise typer.Exit(1) from None
