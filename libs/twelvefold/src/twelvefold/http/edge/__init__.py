"""The edge: what a service with a public API puts around its routes, equal in each of them.

Owns access policies, rate limits, responses and their documentation. Which routes, scopes and
further limits there are, the service decides. `http.app` makes the app itself.
"""
