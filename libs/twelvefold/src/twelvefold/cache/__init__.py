"""The cache and its Redis client.

Owns no key: a key belongs to `contracts` or to the service that writes it.
"""
