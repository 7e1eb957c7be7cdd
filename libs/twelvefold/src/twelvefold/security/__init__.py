"""Authentication and authorization: tokens, keys, passwords, principals, revocation.

Owns the mechanisms, which services compose; endpoints and tables belong to the services.
"""
