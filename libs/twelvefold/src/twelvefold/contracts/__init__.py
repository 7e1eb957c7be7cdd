"""Wire models and job payloads that a producer and a consumer share.

Services are deployed separately, so a contract changes by addition only: a new field has a default,
and a reader ignores unknown fields.
"""
