"""The embedded servers: PostgreSQL, Redis, S3 and the mail catcher.

Owns their start, probes and stop; `supervisor.wiring` selects those of a stack.
"""
