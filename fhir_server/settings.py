"""What an administrator can set by VARDE_ environment variables (docs/settings.md); `varde serve` has options
for some of them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

VERSION = version("varde")
LogLevel = Literal["debug", "info", "warning", "error"]


class Settings(BaseSettings):
    """Read from the environment; arguments win over it."""

    model_config = SettingsConfigDict(env_prefix="VARDE_", extra="ignore")

    auth: bool = Field(
        default=True,
        description="Control access by SMART on FHIR. Off is only possible on a loopback address: for trying"
        " things out.",
    )
    access_token_seconds: int = Field(
        default=3600, ge=60, le=86400, description="How long an access token of an app is good."
    )
    backend_token_seconds: int = Field(
        default=300, ge=60, le=3600, description="How long an access token of a backend service is good."
    )
    refresh_token_days: int = Field(
        default=90, ge=1, le=366, description="How long a refresh token is good that nobody uses."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on.")
    store: str = Field(
        default="sqlite:///varde-data/varde.db",
        description="Where resources are kept: sqlite:///PATH (created if missing) or mongodb://...",
    )
    workers: int = Field(default=1, ge=1, le=256, description="Worker processes, all on the same store.")
    log_level: LogLevel = Field(default="info", description="Least severe level that is logged.")
    base_url: str | None = Field(
        default=None,
        description="Public base of the FHIR API, such as https://fhir.example.org/fhir, if behind a proxy.",
    )
    cursor_secret: str | None = Field(
        default=None,
        description="Secret that seals the links to next pages; without it they end with the server.",
    )
    explain_searches: bool = Field(
        default=False,
        description="Let `_explain=true` show how the store carries out a search: for administrators.",
    )
    providers: str = Field(
        default="",
        description="JSON file of the OpenID providers that people may sign in through, and whose access "
        "tokens are accepted (docs/signing-in.md).",
    )
    terminology: str = Field(
        default="varde-data/terminology",
        description="Folder of the code systems that `varde terminology import` made.",
    )
    max_body_bytes: int = Field(default=32 * 2**20, ge=1024, description="Largest request body, in bytes.")
    conditional_delete: Literal["single", "multiple"] = Field(
        default="single", description="Whether a conditional delete may delete several resources, up to 1000."
    )
    versioned_updates: bool = Field(
        default=False, description="Require If-Match where a resource that exists is updated or patched."
    )
    profiles: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Profiles that what is written must follow, by resource type, as JSON: "
        '{"Patient": ["http://hl7.no/fhir/StructureDefinition/no-basis-Patient"]}.',
    )
    claimed_profiles: bool = Field(
        default=True,
        description="Hold what is written to the profiles that it claims in meta.profile and that are known.",
    )
    demands: list[Literal["real-urls", "no-html", "no-experimental", "hl7-publication", "references"]] = (
        Field(
            default_factory=list,
            description="What $validate asks beyond R4, as JSON: real-urls (none of example.org), no-html (in"
            " markdown), no-experimental (definitions), hl7-publication (HL7's own name their work group),"
            " references (that lead to what is here).",
        )
    )
    keys: str = Field(
        default="varde-data/keys", description="Folder of the server's own private keys, made at first start."
    )
    audit: bool | None = Field(
        default=None,
        description="Keep a log of every access, of which AuditEvents are made; by default where access is"
        " controlled.",
    )
    provenance: Literal["all", "changes", "none"] = Field(
        default="changes",
        description="What gets a Provenance of who wrote it: all; changes, which is all but the readings and"
        " answers that patients and devices send, whose authors are in them and in the log; or none.",
    )
    emergency_minutes: int = Field(
        default=60, ge=1, le=24 * 60, description="How long emergency access ($break-the-glass) lasts."
    )
    privacy_officer: str = Field(
        default="",
        pattern=r"^(|(Practitioner|PractitionerRole|Organization)/[A-Za-z0-9\-.]{1,64})$",
        description="Who is told of emergency access besides the patient's care teams: Organization/ID, ...",
    )
    trusted_proxies: str = Field(
        default="",
        description="Addresses or networks whose Forwarded and X-Forwarded-... headers are believed, "
        "with commas between.",
    )
    cors_origins: str = Field(
        default="",
        description="Origins whose browser applications may use the FHIR API (CORS), with commas between; "
        "* is any.",
    )
