"""The provider: an nginx of the bench's own that answers every create at once, and on a second port after a second.

Nothing of it is configured in the system: it runs in the bench's folder, as whoever runs the bench. Where it is not
installed the sandbox takes its place, which is slower than some of what is measured.
"""

import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import Child, child
from worker.local.loopback import free_ports

SLOW = 1.0
"""Seconds after which the second port answers."""

_ECHO = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
_PACKAGES = "nginx-light libnginx-mod-http-echo"
_SECRETS = '"key": "$request_id-of-client", "secret": "$request_id-secret-of-client"'
_ACCOUNT = f'{{"accountId": "$request_id", {_SECRETS}}}'
_INFO = """{"name": "Bench", "hasAccess": true, "countries": ["NLD"], "adminEmail": "bench@example.org", \
"contactEmail": "bench@example.org", "subscription": {"startDate": "2020-01-01", "limit": 0, "usage": 0}}"""


@dataclass(frozen=True, slots=True)
class Provider:
    """What plays the provider.

    Attributes:
        what: Its name and version.
        slow_url: Where each create is answered after `SLOW` seconds; None where nothing can do that.
        note: What must be known of it, if anything.
    """

    what: str
    url: str
    slow_url: str | None
    process: Child
    note: str = ""


@asynccontextmanager
async def provider(folder: Path) -> AsyncIterator[Provider]:
    """An instant provider for as long as the block runs."""
    program = _program()
    if program is None:
        async with _sandbox(folder) as found:
            yield found
    else:
        async with _nginx(program, folder) as found:
            yield found


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _program() -> str | None:
    """Nginx, if it is there with what can wait for a second."""
    return (shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")) if _ECHO.exists() else None


@asynccontextmanager
async def _nginx(program: str, folder: Path) -> AsyncIterator[Provider]:
    port, slow_port = free_ports(2)
    configuration = folder / "nginx.conf"
    configuration.write_text(_configuration(folder, port, slow_port), encoding="utf-8")
    command = (program, "-p", str(folder), "-c", str(configuration), "-e", "stderr")
    url, slow_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{slow_port}"
    async with child(command, {}, folder / "nginx.log") as process:
        await process.until(lambda: answers(f"{url}/account/v1/info"))
        yield Provider(f"nginx {_version(program)}", url, slow_url, process)


def _version(program: str) -> str:
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/(\S+)", told)
    return found.group(1) if found else told.strip()


def _configuration(folder: Path, port: int, slow_port: int) -> str:
    """The folders are named for the sake of whoever may not write where the package would."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "\n".join(f"  {kind}_temp_path {folder}/nginx-{kind};" for kind in kinds)
    return f"""\
load_module {_ECHO};
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off;
{folders}
  default_type application/json;
  keepalive_timeout 1h;
  keepalive_time 30d;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
{_server(port, f"return 200 '{_ACCOUNT}';")}
{_server(slow_port, f"echo_read_request_body; echo_sleep {SLOW}; echo -n '{_ACCOUNT}';")}
}}
"""


def _server(port: int, create: str) -> str:
    return f"""\
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /reseller/v1/client {{ {create} }}
    location = /account/v1/info {{ return 200 '{_INFO}'; }}
    location / {{ return 404 '{{"exception": "There is nothing here.", "exceptionId": "Bench_Nothing"}}'; }}
  }}"""


@asynccontextmanager
async def _sandbox(folder: Path) -> AsyncIterator[Provider]:
    note = f"nginx is not installed, so the sandbox plays the provider. As root: apt-get install {_PACKAGES}"
    sys.stderr.write(f"{note}\n")
    arguments = ("-m", "worker", "sandbox", "--port", "0", "--control-port", "0", "--seed", "1")
    async with child(_python(arguments), {}, folder / "sandbox.log") as process:
        await process.until(lambda: process.said("providers") is not None)
        yield Provider("the sandbox", process.said("providers") or "", None, process, note)


def _python(arguments: Sequence[str]) -> tuple[str, ...]:
    return (sys.executable, *arguments)
