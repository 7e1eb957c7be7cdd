"""The wheels of libs: their version, what they contain and what they require."""

from __future__ import annotations

import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from tests.wheels import load_script

from twelvefold.extras import EXTRAS

ROOT = Path(__file__).parents[3]
VERSION = "2026.11.28.post1"
PACKAGES = ("twelvefold", "twelvefold_client", "twelvefold_dev", "twelvefold_ops")
ON_TWELVEFOLD = ("twelvefold_dev", "twelvefold_ops")


wheels = load_script()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, zipfile.ZipFile]:
    """The wheels by package."""
    paths = wheels.build(tmp_path_factory.mktemp("wheels"), VERSION)
    return {path.name.partition("-")[0]: zipfile.ZipFile(path) for path in paths}


def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


@pytest.mark.parametrize(
    ("tags", "own", "version"),
    [
        ([], [], "2026.1.5"),
        (["2026.01.05-aaaaaaa"], ["2026.01.05-aaaaaaa"], "2026.1.5"),
        (["2026.01.05-aaaaaaa"], [], "2026.1.5.post1"),
        (["2026.01.05-aaaaaaa", "2026.01.05-bbbbbbb"], ["2026.01.05-bbbbbbb"], "2026.1.5.post1"),
        (["2026.01.05-rc"], [], "2026.1.5"),
    ],
)
def test_a_version_is_the_day_and_the_number_of_the_release(tags, own, version) -> None:
    assert wheels.version_of("2026.01.05", tags, own) == version


def test_every_wheel_has_its_types_license_readme_and_version(built) -> None:
    assert tuple(built) == PACKAGES
    license_text = (ROOT / "LICENSE").read_text()
    for package, wheel in built.items():
        names = wheel.namelist()
        assert f"{package}/py.typed" in names
        (license_file,) = [name for name in names if name.endswith("licenses/LICENSE")]
        assert wheel.read(license_file).decode() == license_text
        fields = metadata(wheel)
        assert fields["Version"] == VERSION
        assert fields["License-Expression"] == "Apache-2.0"
        assert str(fields.get_payload()).startswith(f"# {package.replace('_', '-')}\n")


def test_the_wheels_require_each_other_in_the_same_version(built) -> None:
    for package in ON_TWELVEFOLD:
        (required,) = [
            value
            for value in metadata(built[package]).get_all("Requires-Dist") or []
            if value.startswith("twelvefold")
        ]
        assert required.endswith(f"=={VERSION}")


def test_the_extras_are_those_of_the_error_messages(built) -> None:
    assert set(metadata(built["twelvefold"]).get_all("Provides-Extra") or []) == set(EXTRAS)


def test_the_console_s_files_are_in_the_wheel(built) -> None:
    names = built["twelvefold_dev"].namelist()
    assert "twelvefold_dev/console/static/index.html" in names


def test_the_checkout_keeps_its_own_version(built) -> None:
    assert 'version = "0.1.0"' in (ROOT / "libs/twelvefold/pyproject.toml").read_text()
