"""Conversion of a platform's URL to the driver's arguments."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from twelvefold.database.client import connect_arguments
from twelvefold_dev.servers.object_store_access import write_certificate


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("", {}),
        ("?sslmode=disable", {"ssl": "disable"}),
        ("?sslmode=require", {"ssl": "require"}),
        ("?host=/run/postgresql", {"host": "/run/postgresql"}),
        ("?target_session_attrs=read-write", {"target_session_attrs": "read-write"}),
        ("?options=-c%20geqo%3Doff", {"server_settings": {"options": "-c geqo=off"}}),
        ("?channel_binding=prefer", {}),
    ],
)
def test_a_url_becomes_arguments_of_the_driver(query, arguments) -> None:
    url, given = connect_arguments(f"postgres://me:p%40ss@db.example:5433/suite{query}")
    assert url.drivername == "postgresql+asyncpg"
    assert (url.host, url.port, url.database) == ("db.example", 5433, "suite")
    assert (url.username, url.password) == ("me", "p@ss")
    assert url.query == {}
    assert {name: value for name, value in given.items() if name != "timeout"} == arguments


@pytest.mark.parametrize(("mode", "checks_name"), [("verify-ca", False), ("verify-full", True)])
def test_a_verifying_mode_verifies(mode, checks_name) -> None:
    _, given = connect_arguments(f"postgresql://db.example/suite?sslmode={mode}")
    assert given["ssl"].verify_mode is ssl.CERT_REQUIRED
    assert given["ssl"].check_hostname is checks_name


@pytest.mark.parametrize("query", ["sslrootcert=system", "sslmode=verify-full&sslrootcert=system"])
def test_the_roots_of_the_system_verify_in_full(query) -> None:
    _, given = connect_arguments(f"postgresql://db.example/suite?{query}")
    assert given["ssl"].verify_mode is ssl.CERT_REQUIRED
    assert given["ssl"].check_hostname


def test_a_url_sets_the_connect_timeout() -> None:
    _, given = connect_arguments("postgresql://db.example/suite?connect_timeout=7")
    assert given["timeout"] == 7


@pytest.fixture
def certificate(tmp_path) -> Path:
    path: Path = tmp_path / "certificate.pem"
    write_certificate(path)
    return path


def test_a_client_certificate_is_sent_to_the_server(certificate) -> None:
    _, given = connect_arguments(
        f"postgresql://db.example/suite?sslmode=require&sslcert={certificate}&sslkey={certificate}"
    )
    assert given["ssl"].verify_mode is ssl.CERT_NONE


def test_require_verifies_where_roots_are_named(certificate) -> None:
    _, given = connect_arguments(
        f"postgresql://db.example/suite?sslmode=require&sslrootcert={certificate}"
    )
    assert given["ssl"].verify_mode is ssl.CERT_REQUIRED
    assert not given["ssl"].check_hostname
