"""HTTP in and out, by noun. Routes read, call one use case, and build the response."""

from . import (
    admin,
    analytics,
    auth,
    avatars,
    images,
    internal,
    jobs,
    pages,
    problem_types,
    self_service,
    users,
    well_known,
)

PUBLIC = (
    users.router,
    avatars.router,
    self_service.router,
    admin.router,
    analytics.router,
    auth.router,
    images.router,
    jobs.router,
    well_known.router,
    problem_types.router,
    pages.router,
)
INTERNAL = (internal.router, internal.images)

__all__ = ["INTERNAL", "PUBLIC"]
