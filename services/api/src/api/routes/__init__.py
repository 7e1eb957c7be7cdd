"""HTTP in and out, by noun. Routes read, call one use case, and build the response."""

from . import admin, auth, images, internal, jobs, pages, self_service, users, well_known

PUBLIC = (
    users.router,
    self_service.router,
    admin.router,
    auth.router,
    images.router,
    jobs.router,
    well_known.router,
    pages.router,
)
INTERNAL = (internal.router,)

__all__ = ["INTERNAL", "PUBLIC"]
