"""The embedded servers: PostgreSQL, Redis, S3 and the mail catcher.

Owns how each is started, probed and stopped. Which of them a stack has: `supervisor.wiring`.
"""
