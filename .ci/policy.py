# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["checkov==3.3.30"]
# ///
"""checkov in an environment of its own: it pins an older boto3 than ours. Locked beside it."""

import runpy

runpy.run_module("checkov.main", run_name="__main__")
