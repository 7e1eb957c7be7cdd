"""Parameters of routes that several services have, with their descriptions in the document."""

import re
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Query
from pydantic import BeforeValidator, Field

from twelvefold.http.middleware.header_fields import MAX_FIELD_BYTES

_DECIMAL = re.compile("0|-?[1-9][0-9]*")
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_UUID = re.compile("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def _spelled(pattern: re.Pattern[str], fault: str) -> BeforeValidator:
    """Return a check of the spelling, since pydantic reads more of them than a schema admits."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.fullmatch(value):
            raise ValueError(fault)
        return value

    return BeforeValidator(check)


# Values of a path or a query, in the one spelling that the document states.
Id = Annotated[UUID, _spelled(_UUID, "must be a UUID with its dashes")]
Day = Annotated[date, _spelled(_DAY, "must be a day: YYYY-MM-DD")]

PageLimit = Annotated[
    int,
    Field(ge=1, le=100),
    _spelled(_DECIMAL, "must be a whole number in decimal digits"),
    Query(description="Maximum number of items in the page."),
]
Cursor = Annotated[
    str | None, Query(max_length=512, description="`next_cursor` of the previous page.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description=(
            "A value of your choice, new for each operation. A repeated request with the same key "
            "and body gets the first response again, for 24 hours."
        ),
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
        # Documented only: another form is a 400.
        json_schema_extra={
            "minLength": 1,
            "maxLength": 257,
            "pattern": r'^("[ !#-\[\]-~]{1,255}"|[!#-~]{1,255})$',
        },
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        description="ETag of the version that the change is based on.",
        examples=['"v3"'],
        json_schema_extra={"maxLength": MAX_FIELD_BYTES},
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(
        description="ETag of the caller's copy.",
        examples=['"v3"'],
        json_schema_extra={"maxLength": MAX_FIELD_BYTES},
    ),
]
