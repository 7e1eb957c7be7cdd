"""The server subclasses private parts of uvicorn, so each new version of it is tested first."""

from importlib.metadata import requires

import uvicorn

from twelvefold.http.server.server import TESTED_UVICORN


def test_the_installed_uvicorn_is_the_one_that_the_server_was_tested_with():
    installed = ".".join(uvicorn.__version__.split(".")[:2])
    assert installed == TESTED_UVICORN, (
        f"uvicorn {uvicorn.__version__}: compare its httptools_impl.py, flow_control.py and "
        "server.py with http/server, run tests/{unit,integration}/http and `make attack`, then "
        "raise TESTED_UVICORN and the bounds in libs/twelvefold/pyproject.toml"
    )


def test_the_package_admits_no_other_minor_version_of_uvicorn():
    (requirement,) = (line for line in requires("twelvefold") or () if line.startswith("uvicorn"))
    major, minor = map(int, TESTED_UVICORN.split("."))
    bounds = set(requirement.removeprefix("uvicorn").replace(" ", "").split(","))
    assert bounds == {f">={major}.{minor}", f"<{major}.{minor + 1}"}
