"""Object storage: the ObjectStore protocol and its S3 implementation.

Owns no object key: keys belong to `contracts.images`.
"""
