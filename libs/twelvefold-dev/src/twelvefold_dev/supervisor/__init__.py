"""The supervisor, which starts, watches and stops the servers and services of one checkout.

Owns the lifetime of processes; `environment` composes their environment variables.
"""
