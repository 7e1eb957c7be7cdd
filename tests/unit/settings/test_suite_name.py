"""The name that clients read comes from one setting."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from api.app import SERVICE as API
from twelvefold.mail.brand import Brand
from twelvefold.settings import ServiceSettings
from twelvefold.settings.reference import example
from users.app import SERVICE as USERS
from worker.settings import WorkerSettings


@pytest.mark.parametrize("service", [API, USERS], ids=lambda service: service.name)
def test_titles_have_the_name(service) -> None:
    settings = example(service.settings).model_copy(update={"suite_name": "Acme"})
    process = service.create(settings)
    titles = [app.title for app in (process.public, process.internal) if app is not None]
    assert titles
    assert [title for title in titles if not title.startswith("Acme")] == []


def test_emails_have_the_name_unless_they_have_one_of_their_own() -> None:
    settings = example(WorkerSettings).model_copy(
        update={"suite_name": "Acme", "mail_brand_name": None}
    )
    assert Brand.of(settings).name == "Acme"
    named = settings.model_copy(update={"mail_brand_name": "Ada"})
    assert Brand.of(named).name == "Ada"


@pytest.mark.parametrize("name", ['Acme "Inc"', "Acme\r\nX: y", "", "<b>", "x" * 61, " Acme"])
def test_a_name_that_a_header_cannot_carry_is_refused(name) -> None:
    with pytest.raises(ValidationError):
        ServiceSettings(environment="testing", suite_name=name)
