"""All SQL on schema `api`, by noun. Rows go in and out as frozen dataclasses; who may see them is
not here.
"""
