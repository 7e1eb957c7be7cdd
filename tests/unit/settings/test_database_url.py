"""Database URLs: each of libpq's parameters works or is refused at the start."""

from __future__ import annotations

import pytest
from tests.unit.settings.suite import problems

BASE = "postgres://app:hunter2@db.example/suite"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgres://a.example,b.example/suite?sslmode=require", "several hosts"),
        ("postgres://a.example:1,b.example:2/suite?sslmode=require", "several hosts"),
        (f"{BASE}?sslmode=require&host=a.example,b.example", "several hosts"),
        (f"{BASE}?sslmode=bogus", "sslmode: use one of disable, allow"),
        (f"{BASE}?sslmode=require&sslmode=disable", "twice"),
        (f"{BASE}?sslmode=verify-full&sslrootcert=/not/there.pem", "sslrootcert"),
        (f"{BASE}?sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
        (f"{BASE}?sslmode=require&sslcert=/not/there.pem", "sslcert"),
        (f"{BASE}?sslmode=require&sslkey=/not/there.pem", "without an sslcert"),
        (f"{BASE}?sslcert=/not/there.pem", "sslmode=require or stronger"),
        (f"{BASE}?sslmode=require&target_session_attrs=any-will-do", "use one of any, primary"),
        (f"{BASE}?sslmode=require&channel_binding=require", "channel_binding=require"),
        (f"{BASE}?sslmode=require&connect_timeout=0", "connect_timeout"),
        (f"{BASE}?sslmode=require&connect_timeout=soon", "connect_timeout"),
        (f"{BASE}?sslmod=require", "did you mean sslmode?"),
        (f"{BASE}?sslmode=require&sslcrl=/a", "not supported"),
        (f"{BASE}?sslmode=require&pgbouncer=true", "DATABASE_POOLED"),
        (f"{BASE}?sslmode=require&user=b", "before the @"),
        (f"{BASE}?sslmode", "name=value"),
        ("postgres://db.example:port/suite?sslmode=require", "valid host and port"),
        ("postgres://[::1/suite?sslmode=require", "valid host and port"),
    ],
)
def test_what_the_driver_does_not_support_is_named(given, url, reason) -> None:
    given(DATABASE_URL=url)
    found = problems()
    assert found.keys() == {"DATABASE_URL"}
    assert reason in found["DATABASE_URL"]
    assert "hunter2" not in found["DATABASE_URL"]


@pytest.mark.parametrize(
    "query",
    [
        "sslrootcert=system",
        "sslmode=verify-full&sslrootcert=system",
        "sslmode=require&channel_binding=prefer&connect_timeout=10",
        "sslmode=require&target_session_attrs=read-write&options=endpoint%3Dcool-darkness",
        "sslmode=require&host=/run/postgresql",
    ],
)
def test_what_works_is_accepted_where_it_is_deployed(given, query) -> None:
    given(DATABASE_URL=f"{BASE}?{query}")
    assert problems() == {}
