"""Everything around a browser: a server with access control, people, applications and where they are served."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from joserfc.jwk import ECKey

from fhir_server.app import utc_now, with_service
from fhir_server.demo.server import serving
from fhir_server.exchange import Service
from fhir_server.instants import microseconds
from fhir_server.smart import clients, users
from fhir_server.smart.clients import Client
from fhir_server.write import Change, commit
from tests.smart.provider import FakeProvider

CLIENT_JS = "fhirclient@2.6.3"
PASSWORD = "eight words that nobody would ever guess"
PEOPLE = [
    ("anne", "Anne Lege", "practitioner", "Practitioner/anne"),
    ("kari", "Kari Nordmann", "patient", "Patient/kari"),
]


def reading(id_: str, patient: str, value: int, day: int) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "59408-5"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": f"2026-11-{day:02}T08:00:00+01:00",
        "valueQuantity": {"value": value, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"},
    }


def patient(id_: str, given: str, family: str, born: str, identifier: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [{"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": identifier}],
        "name": [{"use": "official", "family": family, "given": [given]}],
        "birthDate": born,
        "generalPractitioner": [{"reference": "Practitioner/anne"}],
    }


RECORD: list[dict[str, Any]] = [
    {"resourceType": "Practitioner", "id": "anne", "active": True, "name": [{"text": "Anne Lege"}],
     "identifier": [{"system": "urn:oid:2.16.578.1.12.4.1.4.4", "value": "9144900"}]},
    patient("kari", "Kari", "Nordmann", "1952-03-27", "13116900216"),
    patient("ola", "Ola", "Nordby", "1948-11-02", "15076500565"),
    *(reading(f"k{day}", "kari", 90 + day, day) for day in (1, 2, 3)),
    *(reading(f"o{day}", "ola", 80 + day, day) for day in (1, 2)),
]  # fmt: skip

LAUNCH = """<!doctype html><title>launch</title><script src="fhir-client.js"></script>
<script>
const query = new URLSearchParams(location.search);
FHIR.oauth2.authorize({
  clientId: query.get('client') || 'growth', scope: query.get('scope') || 'launch patient/Patient.r patient/Observation.rs openid fhirUser offline_access',
  redirectUri: 'index.html', pkceMode: 'required', iss: query.get('iss'), launch: query.get('launch') || undefined,
}).catch((e) => { document.body.innerHTML = '<pre id="out"></pre>'; out.textContent = JSON.stringify({failed: String(e)}); });
</script>"""

# What the application does when it is back: reads, searches, refreshes, and reads again with the new token.
INDEX = """<!doctype html><title>app</title><pre id="out"></pre><script src="fhir-client.js"></script>
<script>
const values = (bundle) => (bundle.entry ?? []).map((e) => e.resource.valueQuantity.value);
const run = async () => {
  const client = await FHIR.oauth2.ready(), said = {}, search = 'Observation?_sort=-date&_count=2';
  said.patient = client.patient.id;
  said.scope = client.getState('tokenResponse.scope');
  said.fhirUser = client.user.fhirUser;
  said.banner = client.getState('tokenResponse.need_patient_banner');
  said.name = await client.patient.read().then((p) => p.name[0].family, (e) => e.status);
  said.found = await client.patient.request(search).then(values, (e) => e.status);
  said.all = await client.request('Observation', { pageLimit: 0, flat: true })
    .then((found) => found.map((each) => each.id).sort(), (e) => e.status);
  said.another = await client.request('Observation/o1').then((o) => o.id, (e) => e.status);
  const before = client.getState('tokenResponse');
  if (before.refresh_token) {
    await client.refresh();
    const after = client.getState('tokenResponse');
    said.refreshed = after.access_token !== before.access_token && after.refresh_token !== before.refresh_token;
    said.after = await client.patient.request(search).then(values, (e) => e.status);
  }
  return said;
};
const show = (said) => { out.textContent = JSON.stringify(said); };
run().then(show, (e) => show({ failed: String(e) }));
</script>"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _site(folder: Path) -> Iterator[str]:
    """The files of a folder over HTTP; the URL, without a slash at its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fhirclient_js(folder: Path) -> None:
    """SMART's JavaScript client from npm, as fhir-client.js in the folder."""
    if shutil.which("npm") is None:
        pytest.skip("SMART's JavaScript client needs npm")
    command = ["npm", "pack", CLIENT_JS, "--silent", "--pack-destination", str(folder)]
    try:
        subprocess.run(command, capture_output=True, timeout=60, check=True, cwd=folder)
    except subprocess.SubprocessError:
        pytest.skip(f"{CLIENT_JS} cannot be had: the npm registry is not reached")
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        script = archive.extractfile("package/build/fhir-client.js")
        assert script is not None
        (folder / "fhir-client.js").write_bytes(script.read())


@dataclass(frozen=True)
class Town:
    """`app` is where the application's pages are, `base` the FHIR base of the server, `provider` another way
    to sign in."""

    app: str
    base: str
    provider: FakeProvider

    @property
    def auth(self) -> str:
        return f"{self.base.removesuffix('/fhir')}/auth"


@contextmanager
def town(folder: Path) -> Iterator[Town]:
    """A server with PEOPLE and RECORD, an OpenID provider, and an application that is registered as public."""
    pages = folder / "app"
    pages.mkdir()
    (pages / "launch.html").write_text(LAUNCH)
    (pages / "index.html").write_text(INDEX)
    (pages / "scripted.html").write_text(
        "<!doctype html><h1 id='said'>Not run</h1><script>said.textContent = 'Run'</script>"
    )
    (pages / "plain.html").write_text("<!doctype html><title>back</title><h1>Back</h1>")
    url = f"sqlite:///{folder}/varde.db"
    with ExitStack() as stack:
        app = stack.enter_context(_site(pages))
        _prepare(url, app)
        provider = stack.enter_context(_provider())
        settings = {"VARDE_KEYS": str(folder / "keys"), "VARDE_PROVIDERS": str(_named(provider, folder))}
        server = stack.enter_context(serving(url, folder / "server.log", auth=True, environment=settings))
        provider.redirect_uri = f"{server.base.removesuffix('/fhir')}/auth/callback/test-id"
        yield Town(app, server.base, provider)


@contextmanager
def _provider() -> Iterator[FakeProvider]:
    """An OpenID provider that speaks HelseID's profile, on a port of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        issuer = f"http://127.0.0.1:{listener.getsockname()[1]}"
        provider = FakeProvider(issuer, "varde", "", utc_now)
        provider.par = provider.dpop = provider.asks_nonce = True
        server = uvicorn.Server(uvicorn.Config(provider.app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.should_exit = True
            thread.join()


def _named(provider: FakeProvider, folder: Path) -> Path:
    """The file that tells the server of the provider."""
    key = ECKey.generate_key("P-256", {"kid": "varde-1", "use": "sig"})
    provider.public = key.as_dict(private=False)
    (folder / "key.json").write_text(json.dumps(key.as_dict(private=True)))
    (folder / "key.json").chmod(0o600)
    said = {
        "profile": "helseid",
        "name": "Test-ID",
        "issuer": provider.issuer,
        "client_id": "varde",
        "key": str(folder / "key.json"),
    }
    file = folder / "providers.json"
    file.write_text(json.dumps({"test-id": said}))
    return file


def _prepare(url: str, app: str) -> None:
    growth = Client(
        "growth",
        "Growth charts",
        "public",
        "launch launch/patient openid fhirUser offline_access patient/*.rs user/*.rs",
        (f"{app}/index.html", f"{app}/plain.html"),
        f"{app}/launch.html",
    )

    async def work(service: Service) -> None:
        await commit(service, [Change("PUT", each["resourceType"], each["id"], each) for each in RECORD])
        now = microseconds(utc_now())
        made = [
            users.new_user(name, shown, role, PASSWORD, now, fhir_user=resource)  # type: ignore[arg-type]
            for name, shown, role, resource in PEOPLE
        ]
        await service.whole.transact(lambda tx: [users.add(tx, user) for user in made])
        await service.whole.transact(lambda tx: clients.register(tx, growth))

    asyncio.run(with_service(url, work))
