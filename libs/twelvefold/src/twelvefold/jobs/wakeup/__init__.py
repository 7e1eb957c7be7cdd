"""Wake-ups: lossy hints over Redis that a job is due or a row has changed.

Owns delivery only. The PostgreSQL row is authoritative: a lost hint delays work, no more.
"""
