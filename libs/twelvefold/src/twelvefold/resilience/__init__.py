"""Protection against dependencies that fail and clients that send too many requests.

Owns circuit breaker, bulkhead and rate limiter. Retries of a transaction belong to `database`.
"""
