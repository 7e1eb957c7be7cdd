"""One connection for all commands: order, cancellation, bounds, loss, authentication, TLS."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis import exceptions
from tests.proxy import Proxy, open_proxy

from twelvefold.cache.multiplexed import MAX_UNSENT_BYTES, MultiplexedRedis

TIMEOUT = 5.0  # seconds: a busy machine is no hung Redis
SHORT = 0.2


@pytest.fixture
async def proxy(redis_url) -> AsyncIterator[Proxy]:
    async with open_proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def redis(proxy, redis_url) -> AsyncIterator[MultiplexedRedis]:
    async with MultiplexedRedis(proxy.url(redis_url), timeout=TIMEOUT) as client:
        yield client


@pytest.fixture
def key() -> str:
    return f"multiplexed:{uuid4()}"


async def values(redis: MultiplexedRedis, key: str, count: int) -> None:
    for number in range(count):
        await redis.execute("SET", f"{key}:{number}", str(number))


async def in_flight(redis: MultiplexedRedis, count: int) -> None:
    async with asyncio.timeout(TIMEOUT):
        while redis.pending < count:
            await asyncio.sleep(0)


async def test_concurrent_commands_share_one_connection_and_get_their_own_replies(
    redis, proxy, key
) -> None:
    await values(redis, key, 200)
    replies = await asyncio.gather(*(redis.execute("GET", f"{key}:{n}") for n in range(200)))
    assert replies == [str(number).encode() for number in range(200)]
    assert proxy.accepted == 1


async def test_replies_of_every_type_arrive_as_redis_sent_them(redis, key) -> None:
    assert await redis.execute("SET", key, b"\0\r\nbytes") == b"OK"
    assert await redis.execute("GET", key) == b"\0\r\nbytes"
    assert await redis.execute("GET", f"{key}:absent") is None
    assert await redis.execute("EXISTS", key) == 1
    nested = await redis.execute("EVAL", "return {1, {'two', false}, {}}", 0)
    assert nested == [1, [b"two", None], []]
    large = bytes(3_000_000)
    await redis.execute("SET", key, large)
    assert await redis.execute("GET", key) == large


async def test_an_error_reaches_the_caller_of_its_command_alone(redis, key) -> None:
    await redis.execute("RPUSH", key, "list")
    results = await asyncio.gather(
        redis.execute("GET", key), redis.execute("LLEN", key), return_exceptions=True
    )
    assert isinstance(results[0], exceptions.ResponseError)
    assert results[1] == 1
    with pytest.raises(exceptions.NoScriptError):
        await redis.execute("EVALSHA", "0" * 40, 0)


async def test_ten_thousand_cancellations_at_any_moment_mix_up_no_replies(
    redis_url, proxy, key
) -> None:
    """Half of the callers are cancelled at a random turn of the loop: before their command is sent,
    while it waits, and when its reply has just arrived.
    """
    chance = random.Random(17)  # noqa: S311  (repeatable, not secret)
    cancelled = answered = 0
    async with MultiplexedRedis(proxy.url(redis_url), timeout=TIMEOUT) as redis:
        await values(redis, key, 50)

        async def read() -> bool:
            number = chance.randrange(50)
            reply: bytes = await redis.execute("GET", f"{key}:{number}")
            return reply == str(number).encode()

        while cancelled < 10_000:
            callers = [asyncio.create_task(read()) for _ in range(100)]
            for _ in range(chance.randrange(30)):
                await asyncio.sleep(0)
            for caller in callers:
                if chance.random() < 0.5:
                    caller.cancel()
            for result in await asyncio.gather(*callers, return_exceptions=True):
                cancelled += isinstance(result, asyncio.CancelledError)
                answered += result is True
                assert result is True or isinstance(result, asyncio.CancelledError)
        assert answered > 1000
        assert await redis.execute("GET", f"{key}:7") == b"7"
        assert redis.pending == 0
    assert proxy.accepted == 1, "a cancellation costs no connection"


async def test_a_cancelled_caller_keeps_its_place_in_the_queue(redis, proxy, key) -> None:
    await values(redis, key, 3)
    proxy.hold()
    callers = [asyncio.ensure_future(redis.execute("GET", f"{key}:{n}")) for n in range(3)]
    await proxy.something_sent.wait()
    callers[1].cancel()
    proxy.release()
    assert await callers[0] == b"0"
    assert await callers[2] == b"2"


async def test_a_cancelled_caller_does_not_end_the_connecting_of_others(proxy, redis_url) -> None:
    async with MultiplexedRedis(proxy.url(redis_url), timeout=TIMEOUT) as redis:
        first, second = (asyncio.ensure_future(redis.execute("PING")) for _ in range(2))
        await in_flight(redis, 2)
        first.cancel()
        assert await second == b"PONG"
    assert proxy.accepted == 1


async def test_a_hung_redis_fails_every_waiting_command_and_the_next_connects_anew(
    proxy, redis_url, key
) -> None:
    async with MultiplexedRedis(proxy.url(redis_url), timeout=SHORT) as redis:
        await redis.ping()
        proxy.hold()
        results = await asyncio.gather(
            *(redis.execute("GET", key) for _ in range(20)), return_exceptions=True
        )
        assert {type(result) for result in results} == {exceptions.TimeoutError}
        with pytest.raises(exceptions.TimeoutError):  # while connecting
            await redis.ping()
        proxy.release()
        await redis.ping()
        assert proxy.accepted == 3


async def test_a_lost_redis_fails_waiting_commands_at_once_and_is_used_again(
    redis, proxy, key
) -> None:
    await redis.ping()
    proxy.hold()
    waiting = [asyncio.ensure_future(redis.execute("GET", key)) for _ in range(20)]
    await proxy.something_sent.wait()
    await proxy.refuse()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(result) for result in results} == {exceptions.ConnectionError}
    with pytest.raises(exceptions.ConnectionError):
        await redis.ping()
    proxy.release()
    await proxy.listen()
    await redis.ping()


async def test_a_connection_that_the_server_has_closed_costs_no_error(redis, proxy) -> None:
    await redis.ping()
    proxy.drop()
    async with asyncio.timeout(TIMEOUT):
        while not proxy.is_idle:
            await asyncio.sleep(0.01)
    await redis.ping()
    assert proxy.accepted == 2


async def test_a_stalled_loop_does_not_cost_the_connection(proxy, redis_url) -> None:
    async with MultiplexedRedis(proxy.url(redis_url), timeout=SHORT) as redis:
        await redis.ping()
        waiting = asyncio.ensure_future(redis.execute("PING"))
        asyncio.get_running_loop().call_soon(time.sleep, 3 * SHORT)
        assert await waiting == b"PONG"
    assert proxy.accepted == 1


async def test_connecting_during_a_stall_fails_no_caller(redis_url) -> None:
    """Whoever comes right after the stall shares the attempt to connect that it delayed."""
    async with MultiplexedRedis(redis_url, timeout=SHORT) as redis:
        before = asyncio.ensure_future(redis.execute("PING"))
        while redis.pending == 0:
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # the attempt has begun
        time.sleep(3 * SHORT)  # noqa: ASYNC251  # the stall
        after = asyncio.ensure_future(redis.execute("PING"))
        assert (await before, await after) == (b"PONG", b"PONG")


async def test_the_pending_replies_are_bounded(proxy, redis_url) -> None:
    async with MultiplexedRedis(proxy.url(redis_url), timeout=TIMEOUT, max_pending=5) as redis:
        # While it connects, and later while it waits for replies.
        for _ in range(2):
            proxy.hold()
            waiting = [asyncio.ensure_future(redis.execute("PING")) for _ in range(5)]
            await in_flight(redis, 5)
            with pytest.raises(exceptions.ConnectionError, match="too many"):
                await redis.execute("PING")
            proxy.release()
            assert await asyncio.gather(*waiting) == [b"PONG"] * 5


async def test_what_a_redis_does_not_read_is_bounded() -> None:
    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.wait_closed()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1)
    port = server.sockets[0].getsockname()[1]
    async with server:
        async with MultiplexedRedis(f"redis://127.0.0.1:{port}", timeout=TIMEOUT) as redis:
            value, sent = bytes(1 << 19), [asyncio.ensure_future(redis.execute("PING"))]
            while not sent[-1].done() and len(sent) < 1000:
                sent.append(asyncio.ensure_future(redis.execute("SET", "key", value)))
                for _ in range(3):
                    await asyncio.sleep(0)
            with pytest.raises(exceptions.ConnectionError, match="too many"):
                await sent[-1]
            assert redis._link is not None
            unsent = redis._link._transport.get_write_buffer_size()
            assert unsent < MAX_UNSENT_BYTES + 2 * len(value)
        await asyncio.gather(*sent, return_exceptions=True)


async def test_a_malformed_reply_ends_the_connection() -> None:
    async def confused(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(confused, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, MultiplexedRedis(f"redis://127.0.0.1:{port}", timeout=TIMEOUT) as redis:
        with pytest.raises(exceptions.ConnectionError, match="malformed"):
            await redis.ping()


async def test_closing_fails_the_waiting_commands(redis, proxy) -> None:
    await redis.ping()
    proxy.hold()
    waiting = asyncio.ensure_future(redis.execute("PING"))
    await proxy.something_sent.wait()
    await redis.aclose()
    with pytest.raises(exceptions.ConnectionError, match="closed"):
        await waiting


async def test_closing_ends_an_attempt_to_connect(proxy, redis_url) -> None:
    proxy.hold()
    redis = MultiplexedRedis(proxy.url(redis_url), timeout=TIMEOUT)
    waiting = asyncio.ensure_future(redis.execute("PING"))
    await in_flight(redis, 1)
    await redis.aclose()
    with pytest.raises(exceptions.ConnectionError, match="closed"):
        await waiting


async def test_user_password_and_database_of_the_url_are_used(redis, redis_url, key) -> None:
    password = f"p@ss:{uuid4()}"
    user = f"user-{uuid4()}"
    await redis.execute("ACL", "SETUSER", user, "on", f">{password}", "allkeys", "+@all")
    parts = urlsplit(redis_url)
    host = f"{parts.hostname}:{parts.port}"
    database = int(parts.path[1:])
    quoted = password.replace("@", "%40").replace(":", "%3A")
    await redis.execute("SET", key, "here")
    url = f"redis://{user}:{quoted}@{host}/{database}"
    async with MultiplexedRedis(url, timeout=TIMEOUT) as named:
        assert await named.execute("ACL", "WHOAMI") == user.encode()
        assert await named.execute("GET", key) == b"here"
    async with MultiplexedRedis(f"{url[: -len(parts.path)]}/15", timeout=TIMEOUT) as elsewhere:
        assert await elsewhere.execute("GET", key) is None
    await redis.execute("ACL", "DELUSER", user)
    with pytest.raises(exceptions.AuthenticationError):
        async with MultiplexedRedis(url, timeout=TIMEOUT) as refused:
            await refused.ping()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> str:
    """A file with a certificate of `localhost`, which signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    return str(path)


@asynccontextmanager
async def over_tls(redis_url: str, certificate: str) -> AsyncIterator[str]:
    """The rediss:// URL of a server that unwraps TLS in front of Redis."""
    parts = urlsplit(redis_url)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    secret = f"{parts.username or ''}:{parts.password}@" if parts.password else ""
    async with server:
        yield f"rediss://{secret}localhost:{port}{parts.path}"


async def test_rediss_verifies_the_certificate_of_the_server(redis_url, certificate, key) -> None:
    async with over_tls(redis_url, certificate) as url:
        trusted = f"{url}?ssl_ca_certs={certificate}&ssl_check_hostname=True"
        async with MultiplexedRedis(trusted, timeout=TIMEOUT) as redis:
            await values(redis, key, 20)
            replies = await asyncio.gather(*(redis.execute("GET", f"{key}:{n}") for n in range(20)))
            assert replies == [str(number).encode() for number in range(20)]
        async with MultiplexedRedis(url, timeout=TIMEOUT) as untrusting:
            with pytest.raises(exceptions.ConnectionError, match="certificate"):
                await untrusting.ping()
