"""PostgreSQL: connections, transactions, migrations, and the commands that run them.

Owns no table: each service owns its own, and `jobs` owns the queue's.
"""
