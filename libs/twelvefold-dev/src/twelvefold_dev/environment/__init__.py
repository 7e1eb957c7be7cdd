"""The environment of a stack's processes: settings, secrets, schemas and the demo account.

Starts no process of its own except the preparation of the schemas.
"""
