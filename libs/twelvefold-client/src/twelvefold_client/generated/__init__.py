"""Generated from docs/api/api.json by `make client`; never edited."""
