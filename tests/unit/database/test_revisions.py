"""The schema revisions that a process names on its connections."""

from twelvefold.database.revisions import JOBS_MIGRATIONS as JOBS
from twelvefold.database.revisions import installed_migrations
from users.app import MIGRATIONS as USERS


def test_the_release_of_worker_alone_applies_the_revisions_of_schema_jobs():
    assert [entry for entry in installed_migrations() if entry.schema == "jobs"] == [JOBS]
    assert (JOBS.service, JOBS.owner_role) == ("worker", "worker_owner")
    assert "0004" in JOBS.revisions


def test_a_process_names_the_newest_revision_of_each_schema_that_it_uses():
    jobs = f"jobs:{JOBS.revisions[-1]}"
    assert USERS.application_name == f"twelvefold-users@users:{USERS.revisions[-1]},{jobs}"
    assert JOBS.application_name == f"twelvefold-worker@{jobs}"
    assert all(len(entry.application_name) < 64 for entry in installed_migrations())
