"""Logs, metrics and traces, and the redaction of secrets in them.

Owns what a process reports about itself. The endpoints that expose it are in `http.management`.
"""
