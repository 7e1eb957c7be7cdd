"""Wire models and job payloads that a producer and a consumer share.

Services deploy one by one, so a contract changes by addition only: a new field has a default,
and a reader ignores fields that it does not know.
"""
