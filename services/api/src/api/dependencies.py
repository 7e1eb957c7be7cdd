"""Dependencies of routes: the use cases of this process, and parameters that routes share."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request

from api.service.image_maintenance import ImageMaintenance
from twelvefold.http.rest.idempotency import IdempotencyStore
from twelvefold.http.rest.pagination import CursorCodec

from .auth import Authenticator
from .event_stream import EventStreams
from .service.accounts import Accounts
from .service.credentials import Credentials
from .service.images import Images
from .service.jobs import Jobs
from .service.reports import Reports


@dataclass(frozen=True, slots=True)
class Container:
    """The use cases of one process; `app.state.container` of both apps."""

    authenticator: Authenticator
    accounts: Accounts
    credentials: Credentials
    images: Images
    jobs: Jobs
    reports: Reports
    maintenance: ImageMaintenance
    streams: EventStreams
    image_cursors: CursorCodec
    job_cursors: CursorCodec
    user_cursors: CursorCodec
    keys: IdempotencyStore
    issuer: str
    analytics: bool
    public_url: str | None = None


# async: FastAPI runs a plain function in a thread, which costs more than most requests.
async def _container(request: Request) -> Container:
    container: Container = request.app.state.container
    return container


Services = Annotated[Container, Depends(_container)]
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
