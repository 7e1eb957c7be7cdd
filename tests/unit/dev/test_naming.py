"""What of a tree carries the name of a project, and what never does."""

from __future__ import annotations

import pytest

from twelvefold_dev.project.naming import Naming

ACME = Naming.create("acme")
CHART = "charts/api/values.yaml"


def renamed(path: str, text: str, naming: Naming = ACME) -> str:
    return naming.apply(path, text.encode()).decode()


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        (CHART, "  repository: ghcr.io/twelvefold/api", "  repository: ghcr.io/acme/api"),
        (CHART, "host: twelvefold.localhost", "host: acme.localhost"),
        (CHART, "namespace: twelvefold-backing", "namespace: acme-backing"),
        (CHART, "host: s3.twelvefold-backing.svc", "host: s3.acme-backing.svc"),
        (CHART, "kubectl -n twelvefold rollout status", "kubectl -n acme rollout status"),
        (".ci/deploy", "namespace=${NAMESPACE:-twelvefold}", "namespace=${NAMESPACE:-acme}"),
        (".ci/delivery.mk", "REPOSITORY ?= ghcr.io/twelvefold", "REPOSITORY ?= ghcr.io/acme"),
        ("skaffold.yaml", "IMAGE_TAG_ghcr_io_twelvefold_api", "IMAGE_TAG_ghcr_io_acme_api"),
        (CHART, "MAIL_FROM: Twelvefold <no-reply@x>", "MAIL_FROM: Acme <no-reply@x>"),
        ("charts/api/README.md", "$ helm test api -n twelvefold", "$ helm test api -n acme"),
        (
            "charts/platform/files/rules/jobs.yaml",
            'max(jobs_due{app_kubernetes_io_part_of="twelvefold"})',
            'max(jobs_due{app_kubernetes_io_part_of="acme"})',
        ),
        (
            "docs/examples/argo-cd/applications.yaml",
            "destination: {namespace: twelvefold-system}",
            "destination: {namespace: acme-system}",
        ),
        ("docs/examples/flux/releases.yaml", "name: twelvefold-charts", "name: acme-charts"),
        ("charts/platform/x.json", "twelvefold_build_info", "acme_build_info"),
        ("libs/twelvefold/src/twelvefold/x.py", '"twelvefold_build_info"', '"acme_build_info"'),
        (".github/CODEOWNERS", "/libs/  @twelvefold/core", "/libs/  @acme/core"),
        ("README.md", "# Twelvefold", "# Acme"),
    ],
)
def test_the_name_of_the_suite_becomes_that_of_the_project(path, before, after) -> None:
    assert renamed(path, before) == after


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (CHART, "twelvefold.dev/to-postgres: x"),
        (CHART, 'exec: {command: [sh, -c, "until twelvefold db bootstrap; do sleep 1; done"]}'),
        (CHART, "# List them by `twelvefold jobs list --status dead`."),
        (CHART, "mountPath: /etc/twelvefold/config"),
        ("services/Dockerfile", "COPY libs/twelvefold libs/twelvefold"),
        ("services/Dockerfile", '--package "twelvefold-${SERVICE}"'),
        ("tests/charts/x.py", "from twelvefold.settings import load"),
        (
            "libs/twelvefold-dev/src/twelvefold_dev/scaffold/templates/pyproject.toml.jinja",
            'name = "twelvefold-<<name>>"\ndependencies = ["twelvefold[postgres]"]',
        ),
        ("tests/charts/x.py", "from twelvefold_dev.checkout import Checkout"),
        ("libs/twelvefold/src/twelvefold/x.py", 'raise TwelvefoldError("Twelvefold")'),
        ("services/api/src/api/app.py", 'KEY = "twelvefold:jobs"'),
        ("pyproject.toml", 'dependencies = ["twelvefold"]'),
        ("docs/changelog.md", "Twelvefold 1"),
        ("LICENSE", "Twelvefold"),
    ],
)
def test_code_commands_and_history_stay(path, text) -> None:
    assert renamed(path, text) == text


def test_a_second_time_changes_nothing() -> None:
    once = renamed(CHART, "repository: ghcr.io/twelvefold/api # of Twelvefold")
    assert renamed(CHART, once) == once


def test_a_file_that_is_no_text_stays() -> None:
    for content in (b"\x89PNG\0twelvefold", b"\xff twelvefold"):
        assert ACME.apply("charts/x.png", content) == content


def test_a_hyphen_becomes_an_underscore_in_metrics() -> None:
    naming = Naming.create("acme-corp")
    assert naming.title == "Acme Corp"
    assert renamed("charts/x.json", "twelvefold_build_info", naming) == "acme_corp_build_info"


@pytest.mark.parametrize("name", ["Acme", "1acme", "acme_corp", "-acme", "a" * 31, "twelvefold2"])
def test_a_name_that_fits_no_dns_label_is_refused(name) -> None:
    with pytest.raises(ValueError, match="a name has up to 30"):
        Naming.create(name)


def test_a_title_that_would_break_files_is_refused() -> None:
    with pytest.raises(ValueError, match="a title has no"):
        Naming.create("acme", 'Acme "Inc"')
