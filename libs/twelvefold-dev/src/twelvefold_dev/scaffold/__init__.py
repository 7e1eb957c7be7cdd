"""Services as parts of a checkout: the files that list them, new services, additions to them.

Owns the templates of a service. What can be derived from a service's declaration is not in them.
"""
