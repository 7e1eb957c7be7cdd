"""Revisions of schema `jobs` (owner: worker)."""
