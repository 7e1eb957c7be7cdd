"""Use cases of api, by noun. They own transactions, and know no framework and no vendor."""
