"""`twelvefold rollout` on the command line: one line and a code for whatever is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from twelvefold_ops.cli import app


def outcome(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["rollout", *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shop", "--to", "1"], "there is no service shop"),
        (["api"], "--to VERSION"),
        (["api", "--to", "1", "--pause", "soon"], "'soon' is no duration"),
        (["api", "--to", "1", "--canary", "50,25"], "shares grow"),
        (["api", "--to", "1", "--max-p99", "fast"], "'fast' is no duration"),
        (["api", "--to", "1", "--site", "site.yaml"], "--site goes with --environment"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_cluster_is_asked(
    arguments: list[str], said: str
) -> None:
    code, output = outcome(*arguments)

    assert code == 2
    assert said in output
    assert "Traceback" not in output


def test_without_a_cluster_it_says_so_and_that_nothing_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "helm").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    code, output = outcome("api", "--to", "1.0")

    assert code == 2
    assert "nothing was changed: no cluster" in output
    assert "Traceback" not in output


def test_a_cluster_that_does_not_answer_is_one_line(
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

    code, output = outcome("api", "--abort")

    assert code == 2
    assert "nothing was changed" in output
    assert "Traceback" not in output


def test_its_help_tells_the_exit_codes() -> None:
    code, output = outcome("--help")

    assert code == 0
    for word in ("0: the new version", "1: it was bad", "2: refused", "3: neither"):
        assert word in " ".join(output.split())
