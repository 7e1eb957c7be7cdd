"""The developer console, a local web page that shows what the stack of this checkout does.

One small process beside the others. It receives spans by OTLP, reads the log files, the caught
emails, the rows of jobs and the management ports, and stores only the spans. To save memory it
imports neither FastAPI nor pydantic. The supervisor uses `server`; `app` is the composition root;
`static` is the page, which needs no build step.
"""
