"""The schema revisions that a process names on its connections."""

from twelvefold.database.revisions import JOBS_REVISION, JOBS_SCHEMA, installed_migrations
from users.app import MIGRATIONS as USERS
from worker.app import MIGRATIONS as JOBS


def test_the_jobs_revision_of_the_shared_package_is_the_newest_one_of_the_worker():
    assert (JOBS.schema, JOBS.revisions[-1]) == (JOBS_SCHEMA, JOBS_REVISION)


def test_a_process_names_the_newest_revision_of_each_schema_that_it_uses():
    jobs = f"jobs:{JOBS_REVISION}"
    assert USERS.application_name == f"twelvefold-users@users:{USERS.revisions[-1]},{jobs}"
    assert JOBS.application_name == f"twelvefold-worker@{jobs}"
    assert all(len(entry.application_name) < 64 for entry in installed_migrations())
