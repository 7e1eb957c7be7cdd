"""`twelvefold keys`: secrets stay in files of their owner, what is shown is public."""

import json

from typer.testing import CliRunner

from twelvefold.security.keys import KeySet
from users.key_commands import app

run = CliRunner().invoke


def test_a_set_is_made_once_rotated_and_shown_without_private_parts(tmp_path):
    path = tmp_path / "keys.json"
    assert run(app, ["generate", str(path)]).exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    first = path.read_text()
    assert run(app, ["generate", str(path)]).exit_code == 2
    assert path.read_text() == first
    rotated = run(app, ["rotate", str(path)])
    assert (rotated.exit_code, "due" in rotated.stderr) == (0, True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeySet.from_json(path.read_text()).signing_kid == KeySet.from_json(first).signing_kid
    second = path.read_text()
    assert run(app, ["rotate", str(path)]).exit_code == 0  # too early
    assert path.read_text() == second
    shown = json.loads(run(app, ["show", str(path)]).stdout)
    assert len(shown["keys"]) == 2
    assert not any("d" in key for key in shown["keys"])
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_carries_the_set_alone():
    made = run(app, ["generate"])
    rotated = run(app, ["rotate"], input=made.stdout)
    assert len(json.loads(rotated.stdout)["keys"]) == 2
    assert json.loads(made.stdout)["keys"][0]["d"] not in rotated.stderr + made.stderr


def test_what_is_no_set_is_one_line_without_its_content(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text('{"keys": [{"kty": "EC", "d": "secret-part"}]}')
    for command in ("rotate", "show"):
        response = run(app, [command, str(path)])
        assert (response.exit_code, "secret-part" in response.output) == (2, False)
    assert run(app, ["show", str(tmp_path / "none")]).exit_code == 2
