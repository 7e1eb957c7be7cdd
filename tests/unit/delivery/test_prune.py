"""What the pruning of an image deletes, and what it leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PRUNE = Path(__file__).parents[3] / "services/prune.py"


def test_only_what_nothing_reads_is_deleted_and_the_output_says_how_much(
    tmp_path,
) -> None:
    kept = [
        "botocore/data/s3/model.json",
        "botocore/data/sso-oidc/model.json",
        "botocore/data/endpoints.json",
        "package/code.py",
    ]
    deleted = [
        "package/tests/test_code.py",
        "package/tests/tests/test_more.py",
        "botocore/data/ec2/model.json",
        "package/code.pyi",
        "package/_speedups.c",
    ]
    for name in kept + deleted:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * 1024 * 1024)

    done = subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, PRUNE, tmp_path], capture_output=True, text=True, check=True, timeout=30
    )

    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == sorted(kept)
    assert (
        done.stdout
        == "packages' tests: 2.0 MiB freed\nAWS models: 1.0 MiB freed\nsources: 2.0 MiB freed\n"
    )
