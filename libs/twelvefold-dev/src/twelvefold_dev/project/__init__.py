"""A project that was made from the suite: its own name, and the merge of later releases.

Owns what of a tree carries the name, and the commits that stand for a release under that name.
"""
