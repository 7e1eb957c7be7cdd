"""Revisions of schema `jobs`, which every service uses; worker's release alone applies them."""
