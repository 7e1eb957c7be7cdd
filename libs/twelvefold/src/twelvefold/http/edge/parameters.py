"""Parameters of routes that several services have, with their descriptions in the document."""

from typing import Annotated

from fastapi import Header, Query

PageLimit = Annotated[int, Query(ge=1, le=100, description="Maximum number of items in the page.")]
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
    ),
]
IfMatch = Annotated[
    str | None,
    Header(description="ETag of the version that the change is based on.", examples=['"v3"']),
]
IfNoneMatch = Annotated[
    str | None, Header(description="ETag of the caller's copy.", examples=['"v3"'])
]
