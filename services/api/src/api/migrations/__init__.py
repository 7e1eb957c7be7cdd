"""The revisions of schema `api`, run by `twelvefold db migrate api`."""
