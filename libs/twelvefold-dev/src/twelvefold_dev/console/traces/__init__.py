"""Traces in the console: received by OTLP, stored, searched and analysed.

Owns the only database of the console.
"""
