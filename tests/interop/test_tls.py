"""TLS of a client against the real nats-server: intent, both kinds of upgrade, certificates, what errors say, and much to move."""

from __future__ import annotations

import asyncio
import datetime
import gc
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from certificates import Files, authority, client_context, fails, secure
from nodes import free_port, nats_node

import midge
from midge import CertificateError, ConnectError, TLSConfig, TLSError, TLSNotOfferedError

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
SOON = 10.0


async def talk(nc: midge.Client, size: int = 16) -> None:
    """A message there and back."""
    sub = await nc.subscribe("talk")
    await nc.publish("talk", bytes(size))
    assert (await sub.next(timeout=SOON)).data == bytes(size)
    await sub.unsubscribe()


# Intent


async def test_the_real_server_without_tls_is_told_nothing_either() -> None:
    with nats_node() as url:
        assert type(await fails(secure(url))) is TLSNotOfferedError


async def test_tls_can_be_forbidden(files: Files) -> None:
    with nats_node(files.conf()) as url:
        assert "tls=False forbids it" in str(await fails(url, tls=False))
    with nats_node() as url:
        async with midge.connect(url, tls=False) as nc:
            await talk(nc)
        with pytest.raises(ValueError, match="tls=False forbids what a URL asks for"):
            midge.connect(secure(url), tls=False)


async def test_a_server_that_only_offers_tls(files: Files) -> None:
    with nats_node(files.conf() + "allow_non_tls: true\n") as url:
        async with midge.connect(url) as nc:
            assert nc.server_info.tls_available and not nc.server_info.tls_required
            await talk(nc)
        async with midge.connect(secure(url), tls=TLSConfig(ca_file=files.ca)) as nc:
            await talk(nc)


# Upgrades


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_upgrade_after_info(loop_factory: LoopFactory, files: Files, version: ssl.TLSVersion, scheme: str) -> None:
    context = client_context(minimum_version=version, maximum_version=version)
    with nats_node(files.conf()) as url:
        async with midge.connect(secure(url, scheme), tls=context, user="u", password="p") as nc:
            await talk(nc)
            await talk(nc, 900_000)


async def test_a_plain_url_to_a_server_that_requires_tls_is_upgraded_with_the_systems_authorities(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nats_node(files.conf()) as url:
        assert isinstance(await fails(url), CertificateError), "the system does not know ours"
        monkeypatch.setenv("SSL_CERT_FILE", files.ca)
        async with midge.connect(url) as nc:
            await talk(nc)


async def test_handshake_first(loop_factory: LoopFactory, files: Files) -> None:
    with nats_node(files.conf("handshake_first: true")) as url:
        async with midge.connect(url, tls=TLSConfig(ca_file=files.ca, handshake_first=True)) as nc:
            await talk(nc, 300_000)


async def test_handshake_first_with_an_own_context_and_a_server_that_takes_both(files: Files) -> None:
    with nats_node(files.conf('handshake_first: "300ms"')) as url:
        for first in (True, False):
            async with midge.connect(url, tls=TLSConfig(context=client_context(), handshake_first=first)) as nc:
                await talk(nc)


async def test_handshake_first_to_a_server_without_tls_says_nothing_but_a_hello() -> None:
    with nats_node() as url:
        assert "not TLS" in str(await fails(url, tls=TLSConfig(handshake_first=True)))


# Certificates


async def test_an_unknown_authority(files: Files) -> None:
    other = str(files.directory / "other.pem")
    authority("somebody else").cert_pem.write_to_path(other)
    with nats_node(files.conf()) as url:
        error = await fails(secure(url), tls=TLSConfig(ca_file=other))
        assert isinstance(error, CertificateError) and isinstance(error.__cause__, ssl.SSLCertVerificationError)
        assert str(error) == "TLS: the certificate of 127.0.0.1 is not accepted: it is signed by an authority that is not known here"


async def test_another_host(files: Files) -> None:
    with nats_node(files.conf()) as url:
        error = await fails(secure(url), tls=TLSConfig(ca_file=files.ca, server_name="nats.example.com"))
        assert isinstance(error, CertificateError) and error.host == "nats.example.com" and "for another host" in str(error)
    files.write(authority().issue_cert("nats.example.com"))
    with nats_node(files.conf()) as url:
        error = await fails(secure(url), tls=TLSConfig(ca_file=files.ca))
        assert "the certificate of 127.0.0.1 is not accepted: it is for another" in str(error)
        error = await fails(secure(url, host="localhost"), tls=TLSConfig(ca_file=files.ca))
        assert "the certificate of localhost is not accepted: it is for another host" in str(error)
        async with midge.connect(secure(url), tls=TLSConfig(ca_file=files.ca, server_name="nats.example.com")) as nc:
            await talk(nc)


async def test_a_server_that_is_discovered_by_its_address_has_to_be_who_we_asked_for(files: Files) -> None:
    """Servers name each other by address, which no certificate is for: it is checked for the name that the first one was given by."""
    files.write(authority().issue_cert("localhost"))
    with ExitStack() as stack:
        routes = [free_port(), free_port()]
        flags = ["--cluster_name", "midge", "--routes", ",".join(f"nats://127.0.0.1:{port}" for port in routes)]
        first, _ = [stack.enter_context(nats_node(files.conf(), "--cluster", f"nats://127.0.0.1:{port}", *flags)) for port in routes]

        def choose(servers: list[str], info: object) -> tuple[str | None, float]:
            return next((server for server in servers if "127.0.0.1" in server), None), 0.0

        async with midge.connect(secure(first, host="localhost"), tls=TLSConfig(ca_file=files.ca), choose_server=choose) as nc:
            async with asyncio.timeout(SOON):
                while not nc.discovered_servers:
                    await nc.flush()
                    await asyncio.sleep(0.01)
            await nc.reconnect()
            assert nc.connected_url in nc.discovered_servers and "127.0.0.1" in nc.connected_url
            await talk(nc)
        assert isinstance(await fails(secure(first), tls=TLSConfig(ca_file=files.ca)), CertificateError)


@pytest.mark.parametrize(("days", "text"), [(-1, "it has expired"), (1, "it is not valid yet")])
async def test_a_certificate_of_another_time(files: Files, days: int, text: str) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    times = {"not_after": now + datetime.timedelta(days=days)} if days < 0 else {"not_before": now + datetime.timedelta(days=days)}
    files.write(authority().issue_cert("127.0.0.1", **times))
    with nats_node(files.conf()) as url:
        error = await fails(secure(url), tls=TLSConfig(ca_file=files.ca))
        assert isinstance(error, CertificateError) and error.reason == text


async def test_nothing_is_verified_where_that_is_asked_for(files: Files) -> None:
    files.write(authority().issue_cert("nats.example.com"))
    with nats_node(files.conf()) as url:
        async with midge.connect(url, tls=TLSConfig(verify=False)) as nc:
            await talk(nc)


async def test_a_client_with_a_certificate(files: Files) -> None:
    cert, key = files.client()
    with nats_node(files.conf("verify: true")) as url:
        async with midge.connect(url, tls=TLSConfig(ca_file=files.ca, cert_file=cert, key_file=key)) as nc:
            await talk(nc)
        error = await fails(secure(url), tls=TLSConfig(ca_file=files.ca))
        assert isinstance(error, TLSError) and "certificate required" in str(error)
        stranger = files.client("stranger", authority("somebody else"))
        error = await fails(url, tls=TLSConfig(ca_file=files.ca, cert_file=stranger[0], key_file=stranger[1]))
        assert isinstance(error, TLSError) and "the peer refused the connection" in str(error)


async def test_a_new_certificate_is_used_by_the_next_attempt(files: Files) -> None:
    cert, key = files.client("stranger", authority("somebody else"))
    config = TLSConfig(ca_file=files.ca, cert_file=cert, key_file=key)
    with nats_node(files.conf("verify: true")) as url:
        connecting = midge.connect(url, tls=config)
        with pytest.raises(ConnectError):
            await connecting
        files.client("stranger")  # at the same place
        nc = await connecting
        await talk(nc)
        await nc.close()


async def test_a_key_with_a_password(files: Files) -> None:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key

    cert, key = files.client()
    secret = load_pem_private_key(Path(key).read_bytes(), None)
    Path(key).write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2")))
    with nats_node(files.conf("verify: true")) as url:
        config = TLSConfig(ca_file=files.ca, cert_file=cert, key_file=key, key_password="hunter2")
        assert "hunter2" not in repr(config) and "hunter2" not in repr(midge.Options(tls=config))
        async with midge.connect(url, tls=config) as nc:
            await talk(nc)
        error = await fails(url, tls=TLSConfig(ca_file=files.ca, cert_file=cert, key_file=key))
        assert isinstance(error, TLSError) and "no key_password" in str(error)
        error = await fails(url, tls=TLSConfig(ca_file=files.ca, cert_file=cert, key_file=key, key_password="wrong-secret"))
        assert isinstance(error, TLSError) and "wrong-secret" not in str(error) and key in str(error)


async def test_files_that_are_of_no_use(files: Files) -> None:
    with nats_node(files.conf()) as url:
        nowhere = str(files.directory / "nowhere.pem")
        Path(garbage := str(files.directory / "garbage.pem")).write_text("not a certificate")
        for config in (
            TLSConfig(ca_file=nowhere), TLSConfig(ca_file=garbage), TLSConfig(cert_file=nowhere), TLSConfig(cert_file=garbage),
        ):  # fmt: skip
            error = await fails(secure(url), tls=config)
            assert isinstance(error, TLSError) and str(config.ca_file or config.cert_file) in str(error)


# Contexts by a function


async def test_a_function_is_called_for_each_attempt(files: Files) -> None:
    calls = 0

    def plain() -> ssl.SSLContext:
        nonlocal calls
        calls += 1
        return client_context()

    async def later() -> ssl.SSLContext:
        await asyncio.sleep(0)
        return plain()

    with nats_node(files.conf()) as one, nats_node(files.conf()) as two, nats_node() as neither:
        for make in (plain, later):
            calls = 0
            async with midge.connect([neither, one, two], tls=make, randomize=False) as nc:
                await talk(nc)
                assert nc.connected_url == one
            assert calls == 2


async def test_what_such_a_function_raises_is_why_the_attempt_failed(files: Files) -> None:
    def broken() -> ssl.SSLContext:
        raise RuntimeError("the vault is closed")

    async def cancelled() -> ssl.SSLContext:
        raise asyncio.CancelledError

    with nats_node(files.conf()) as url:
        error = await fails(url, tls=broken)
        assert isinstance(error, TLSError) and "the vault is closed" in str(error) and isinstance(error.__cause__, RuntimeError)
        assert "has returned int" in str(await fails(url, tls=lambda: 7))
        assert "was cancelled" in str(await fails(url, tls=cancelled))


# Losing, and moving a lot


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_more_than_one_reading_takes(loop_factory: LoopFactory, files: Files, version: ssl.TLSVersion) -> None:
    """Messages that come by the megabyte, and by the thousand; nothing waits in the engine until something else comes."""
    context = client_context(minimum_version=version, maximum_version=version)
    with nats_node("max_payload: 8MB\n" + files.conf()) as url:
        async with midge.connect(url, tls=context) as one, midge.connect(url, tls=context) as two:
            sub = await two.subscribe("big")
            for size in (1, 16_384, 100_000, 131_072, 1_000_000, 7_000_000):
                await one.publish("big", bytes(size))
                assert len((await sub.next(timeout=SOON)).data) == size
            for number in range(20_000):
                await one.publish("big", b"%d" % number)
            for number in range(20_000):
                assert (await sub.next(timeout=SOON)).data == b"%d" % number


async def test_requests_over_tls(loop_factory: LoopFactory, files: Files) -> None:
    with nats_node(files.conf()) as url:
        async with midge.connect(url, tls=client_context()) as one, midge.connect(url, tls=client_context()) as two:
            await two.subscribe("echo", callback=lambda message: message.respond(message.data))
            answers = await asyncio.gather(*(one.request("echo", b"%d" % number, timeout=SOON) for number in range(500)))
            assert [answer.data for answer in answers] == [b"%d" % number for number in range(500)]


async def test_a_connection_over_tls_leaves_nothing_behind(files: Files) -> None:
    with nats_node(files.conf()) as url:
        for _ in range(3):
            nc = await midge.connect(url, tls=client_context())
            await nc.close()
        del nc
        gc.collect()
        assert not [thing for thing in gc.get_objects() if type(thing).__name__ == "TlsLink"]
