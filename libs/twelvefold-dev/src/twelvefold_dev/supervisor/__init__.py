"""The supervisor: starts, watches and stops the servers and services of one checkout.

Owns the lifetime of processes. What they read is composed in `environment`.
"""
