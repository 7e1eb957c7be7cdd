"""`twelvefold rollout` reports every error in one line with an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from twelvefold_ops.cli import app


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["rollout", *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shop", "--to", "1"], "no service shop"),
        (["api"], "--to VERSION"),
        (["api", "--to", "1", "--pause", "soon"], "'soon' is not a duration"),
        (["api", "--to", "1", "--canary", "50,25"], "shares must increase"),
        (["api", "--to", "1", "--max-p99", "fast"], "'fast' is not a duration"),
        (["api", "--to", "1", "--site", "site.yaml"], "--site needs --environment"),
    ],
)
def test_invalid_arguments_are_refused_before_any_call_to_the_cluster(
    arguments: list[str], message: str
) -> None:
    code, output = invoke(*arguments)

    assert code == 2
    assert message in output
    assert "Traceback" not in output


def test_a_missing_cluster_is_reported_and_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "helm").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    code, output = invoke("api", "--to", "1.0")

    assert code == 2
    assert "nothing was changed: no cluster" in output
    assert "Traceback" not in output


def test_a_cluster_that_does_not_respond_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "helm").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    config = tmp_path / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        "clusters: [{name: x, cluster: {server: 'http://127.0.0.1:9'}}]\n"
        "contexts: [{name: x, context: {cluster: x, user: x}}]\n"
        "users: [{name: x, user: {}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", str(config))

    code, output = invoke("api", "--abort")

    assert code == 2
    assert "nothing was changed" in output
    assert "Traceback" not in output


def test_the_help_lists_the_exit_codes() -> None:
    code, output = invoke("--help")

    assert code == 0
    for word in ("0: the new version", "1: the new version failed", "2: refused", "3: incomplete"):
        assert word in " ".join(output.split())
