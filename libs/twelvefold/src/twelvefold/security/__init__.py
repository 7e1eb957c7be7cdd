"""Who calls and what they may: tokens, passwords, principals, rate limits.

No endpoint and no table is here; services compose these.
"""
