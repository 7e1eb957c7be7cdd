"""The errors of this package, which the command line reports in one line."""


class ScaffoldError(Exception):
    """A service cannot be created, changed or removed as asked; nothing was changed."""


class ListMissing(ScaffoldError):
    """A file no longer has a list where this package writes it."""
