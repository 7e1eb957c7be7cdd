# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["checkov==3.3.30"]
# ///
"""Run checkov in a separate, locked environment, because it pins an older boto3."""

import runpy

runpy.run_module("checkov.main", run_name="__main__")
