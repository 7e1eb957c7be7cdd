"""The revisions of schema `users`, linear and numbered."""
