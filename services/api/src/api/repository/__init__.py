"""All SQL on schema `api`, by noun. Takes and returns frozen dataclasses; checks no permission."""
