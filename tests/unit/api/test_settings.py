"""What api asks of its settings beyond the shared groups."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from api.settings import ApiSettings
from twelvefold.settings.reference import example

URL = "https://api.example.com"


def checked(environment: str, public_url: str | None, **more: str) -> list[str]:
    """The names of the settings at fault."""
    values = {**example(ApiSettings).model_dump(), "public_url": public_url, **more}
    try:
        ApiSettings(**{**values, "environment": environment})
    except ValidationError as error:
        return [str(detail["loc"][0]) for detail in error.errors()]
    return []


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("url", [None, "http://api.example.com", "api.example.com"])
def test_the_public_url_is_needed_and_safe_where_it_is_deployed(environment, url) -> None:
    assert "public_url" in checked(environment, url)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_a_public_url_is_accepted(environment) -> None:
    assert "public_url" not in checked(environment, URL)


@pytest.mark.parametrize("url", [None, "http://localhost:8000"])
def test_a_laptop_needs_no_public_url(url) -> None:
    assert checked("development", url) == []


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_demo_account_of_a_laptop_is_refused_where_it_is_deployed(environment) -> None:
    assert "docs_demo_account" in checked(environment, URL, docs_demo_account="demo.json")
    assert checked("development", None, docs_demo_account="demo.json") == []
