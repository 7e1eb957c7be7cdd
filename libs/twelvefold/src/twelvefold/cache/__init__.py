"""The cache and its Redis client.

`contracts`, or the service that writes an entry, owns its key.
"""
