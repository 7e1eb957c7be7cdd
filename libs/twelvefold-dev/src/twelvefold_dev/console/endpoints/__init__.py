"""The endpoints of jobs, emails, processes, recordings and traces; `api` has those of other views.

Owns parameters and responses. Every path that changes something is a POST or a DELETE, which
`access_control` admits from the console's own page only.
"""
