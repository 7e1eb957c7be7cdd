"""What the paths of the suite are compared with: hand-written services that do the same work.

`edge` and `reads` have the duties of ours (see there) and nothing else; `starter` is what one
process with FastAPI, JWT and SQLAlchemy's ORM costs, written as its tutorials show.
"""
