"""Logs, metrics, traces, and what keeps secrets out of them.

Owns what the process reports about itself. Endpoints that expose it are in `http.management`.
"""
