"""The developer console: what the stack of this checkout does, on a local page.

One small process beside the others. It takes spans by OTLP, reads the log files, the caught mail,
the jobs' rows and the management ports, and keeps nothing that it could read again. It imports
neither FastAPI nor pydantic, so that it stays small: `server` is what the supervisor sees of it,
`app` its composition root, `static` the page, which no step builds.
"""
