"""The use cases of users, by noun. They own their transactions and know no framework."""
