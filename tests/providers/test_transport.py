"""Creates over TLS: certificates are verified, and a provider that cannot prove who it is gets nothing."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.providers.bench import PROVIDERS, Bench
from worker.core.verdict import Verdict


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "provider.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
async def received(bench: Bench, tmp_path: Path) -> AsyncIterator[list[bytes]]:
    """What a TLS server with a worthless certificate is sent, in the provider's place."""
    chunks: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chunks.append(await reader.read(100))
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    bench.base_url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield chunks
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_certificate_nobody_vouches_for(bench: Bench, received: list[bytes], provider: str) -> None:
    """The handshake is given up, so no credential leaves, and nothing was created."""
    handler = bench.handler(provider)
    outcome = await bench.run(handler, bench.order(handler))
    assert (outcome.verdict, outcome.retry) == (Verdict.NOT_DONE, True)
    assert b"".join(received) == b""
