"""A platform's URL in the driver's terms."""

from __future__ import annotations

import ssl

import pytest

from twelvefold.database_client import connect_arguments


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("", {}),
        ("?sslmode=disable", {"ssl": "disable"}),
        ("?sslmode=require", {"ssl": "require"}),
        ("?host=/run/postgresql", {"host": "/run/postgresql"}),
    ],
)
def test_what_the_driver_is_told_of_a_url(query, arguments) -> None:
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
