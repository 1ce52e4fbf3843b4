"""`varde profile show NAME`: a profile for readers, element by element."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fhir_server.commands.said import fail

app = typer.Typer(help="The profiles that come with Varde: its own and those of R4.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """Show the profiles of Varde itself."""
    from profiles.definitions import load

    for url in load().published:
        typer.echo(f"{url.rpartition('/')[2]:24} {url}")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A canonical, or its last part.", show_default=False)],
    everything: Annotated[bool, typer.Option("--all", help="Also what the profile leaves as it is.")] = False,
) -> None:
    """Show what a profile asks of each element."""
    from profiles.conformance import Profiles
    from profiles.snapshot import snapshot

    profiles = Profiles()
    known = profiles.definitions.profiles
    url = next(
        (u for u in (*profiles.definitions.published, *known) if name in (u, u.rpartition("/")[2])), ""
    )
    profile = profiles.profile(url) if url else None
    if profile is None:
        fail("varde profile show", f"No profile {name} comes with Varde")
    said = {node.id for node in profile.root.walk() if node.facts}
    table = Table("Element", "Card.", "Type", "Asked", title=profile.url)
    for element in snapshot(profile, profiles.definitions):
        if everything or element["id"] in said:
            card = f"{element['min']}..{element['max']}"
            table.add_row(escape(element["id"]), card, _types(element), _asked(element))
    Console().print(table)


def _types(element: dict[str, Any]) -> str:
    return ", ".join(type_["code"] for type_ in element.get("type", ())) or element.get(
        "contentReference", ""
    )


def _asked(element: dict[str, Any]) -> str:
    asked = [f"[dim]{escape(element['short'])}[/]"] if "short" in element else []
    asked += [
        f"{k} {v}" for k, v in element.items() if k.startswith(("fixed", "pattern", "minV", "maxV", "maxL"))
    ]
    if binding := element.get("binding"):
        asked.append(f"{binding['strength']}: {binding.get('valueSet', '')}")
    if slicing := element.get("slicing"):
        by = ", ".join(f"{d['type']} {d['path']}" for d in slicing.get("discriminator", ()))
        asked.append(f"sliced by {by} ({slicing.get('rules', 'open')})")
    rules = element.get("constraint", ())
    asked += [escape(f"{item['key']}: {item.get('human') or item['expression']}") for item in rules]
    asked += [url for type_ in element.get("type", ()) for url in type_.get("profile", ())]
    return "\n".join(asked)
