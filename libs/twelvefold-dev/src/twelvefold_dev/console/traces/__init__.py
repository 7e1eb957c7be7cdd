"""Traces in the console: received by OTLP, stored, searched, analysed.

Owns the console's one database.
"""
