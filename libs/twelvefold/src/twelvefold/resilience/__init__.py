"""Protection against dependencies that fail and clients that ask too often.

Owns circuit breaker, bulkhead and rate limiter. Retries of a transaction belong to `database`.
"""
