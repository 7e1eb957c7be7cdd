"""Additions to a service that is there: an endpoint, a kind of job, a setting.

Owns the places at which they stand in the files of the house's style. What does not have that style
is refused, and nothing is changed.
"""
