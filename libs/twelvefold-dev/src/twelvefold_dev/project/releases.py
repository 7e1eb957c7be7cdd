"""Releases of the suite in the history of a project.

A commit with the trailer `Twelvefold-Release` stands for a release under the project's name. It is
an ancestor of the project, and so the base of the merge of the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

from .git import GitError, Repository
from .naming import Naming

_RELEASE, _NAME, _TITLE = "Twelvefold-Release", "Twelvefold-Name", "Twelvefold-Title"
_FETCHED = "refs/twelvefold/fetched"
_TAGS = "20*"  # the releases of the suite: YYYY.MM.DD-sha7
# What `git status` says about a path that a merge left to the developer.
_CONFLICTS = {
    "UU": "both changed it",
    "AA": "both added it",
    "DU": "this project deleted it, the release changed it",
    "UD": "this project changed it, the release deleted it",
    "DD": "both renamed it",
    "AU": "this project renamed it, the release too",
    "UA": "the release renamed it, this project too",
}


class ProjectError(Exception):
    """The command cannot be done; nothing was changed."""


@dataclass(frozen=True, slots=True)
class RecordedRelease:
    """A release in the history: its commit there, the commit of the suite, and the naming."""

    commit: str
    release: str
    naming: Naming | None


@dataclass(frozen=True, slots=True)
class Merge:
    """The merge of a release. `conflicts` are paths, each with the reason."""

    release: str  # the revision that was merged
    commit: str | None  # of the suite; None where the project has this release already
    changed: int = 0  # number of changed files
    conflicts: tuple[tuple[str, str], ...] = ()


def find_recorded(repository: Repository) -> RecordedRelease | None:
    """Return the newest release that the history of the project records.

    By ancestry and not by date, since commits of one second have no order. A record with a name is
    newer than every record without one.
    """
    grep = f"--grep=^{_RELEASE}: "
    commits = repository.run("log", "--topo-order", "--format=%H", grep, "HEAD").splitlines()
    if not commits:
        return None
    commit = next((one for one in commits if _read_trailer(repository, one, _NAME)), commits[0])
    name = _read_trailer(repository, commit, _NAME)
    naming = Naming(name, _read_trailer(repository, commit, _TITLE)) if name else None
    return RecordedRelease(commit, _read_trailer(repository, commit, _RELEASE), naming)


def rename(repository: Repository, naming: Naming, made_from: str | None) -> int:
    """Commit the project under its own name; return the number of changed files.

    `made_from` is the release that the project was made from; by default the recorded one, else
    the present commit. Raises ProjectError or GitError.
    """
    require_clean(repository)
    recorded = find_recorded(repository)
    if recorded is not None and recorded.naming is not None:
        raise ProjectError(f"the project has the name {recorded.naming.name} already")
    head = repository.resolve("HEAD")
    if recorded is not None and made_from is None:
        release = recorded.release
        base = release if repository.is_ancestor(release, head) else recorded.commit
    else:
        base = release = repository.resolve(made_from or head)
    if not repository.is_ancestor(base, head):
        raise ProjectError(f"{made_from} is not in the history of this project")
    renamed = _commit_release(repository, base, release, naming, parents=[base])
    if base != head:
        tree = rename_tree(repository, head, naming)
        message = f"Name the project {naming.title}\n"
        renamed = repository.commit_tree(tree, [head, renamed], message)
    repository.run("merge", "--quiet", "--ff-only", renamed)
    return _count_changes(repository, head)


def upgrade(repository: Repository, source: str, to: str | None, made_from: str | None) -> Merge:
    """Merge a later release of the suite from a path or URL; commit it unless there are conflicts.

    `to` is a tag, branch or commit of `source`; by default its newest release, else its HEAD.
    `made_from` is the release that a project without its history was made from. Raises
    ProjectError or GitError, and then nothing is merged.
    """
    require_clean(repository)
    revision = to or _newest_remote_tag(repository, source) or "HEAD"
    release = _fetch(repository, source, revision)
    if repository.is_ancestor(release, "HEAD"):
        return Merge(revision, None)
    recorded = _find_base(repository, source, release, made_from)
    if recorded is not None and repository.is_ancestor(release, recorded.release):
        return Merge(revision, None)
    merged = release
    if recorded is not None:
        merged = _commit_release(
            repository, release, release, recorded.naming, parents=[recorded.commit]
        )
    head = repository.resolve("HEAD")
    message = f"Merge release {revision} of the suite\n\n{_RELEASE}: {release}"
    if recorded is not None:
        message = message.partition("\n")[0]  # its commit has the trailer
    output, code = repository.try_run("merge", "--no-ff", "--no-edit", "-m", message, merged)
    conflicts = find_conflicts(repository)
    if code != 0 and not conflicts:
        raise ProjectError(f"git could not merge: {output.strip()}")
    return Merge(revision, release, _count_changes(repository, head), conflicts)


def _find_base(
    repository: Repository, source: str, release: str, made_from: str | None
) -> RecordedRelease | None:
    """Return the recorded release that the merge of `release` is based on.

    None where the project shares its history with the suite, and so has a base without a record.
    Raises ProjectError where the base is unknown: with a wrong one, a merge would undo edits.
    """
    recorded = find_recorded(repository)
    if recorded is None or recorded.naming is None:
        is_shared = repository.try_run("merge-base", "HEAD", release)[1] == 0
        if is_shared and made_from is None:
            return None
    known = recorded is not None and (
        repository.is_ancestor(recorded.release, release)
        or repository.is_ancestor(release, recorded.release)
    )
    if known and made_from is None:
        return recorded
    if made_from is None:
        what = f"records {recorded.release[:12]}" if recorded else "records no release"
        raise ProjectError(
            f"the project {what}, which is no release of {source}: "
            "name the one that it was made from by --from"
        )
    return _record_origin(repository, source, made_from, recorded.naming if recorded else None)


def require_clean(repository: Repository) -> None:
    """Raise ProjectError where a merge is in progress or a tracked file has uncommitted edits."""
    if repository.try_run("rev-parse", "--verify", "--quiet", "MERGE_HEAD")[1] == 0:
        raise ProjectError("a merge is in progress: commit it, or abort it by `git merge --abort`")
    if edits := repository.run("status", "--porcelain", "--untracked-files=no"):
        names = ", ".join(line[3:] for line in edits.splitlines()[:5])
        raise ProjectError(f"commit your edits first: {names}")


def find_conflicts(repository: Repository) -> tuple[tuple[str, str], ...]:
    """Return the paths that a merge left to the developer, each with the reason."""
    records = repository.run("status", "--porcelain", "-z", "--untracked-files=no").split("\0")
    return tuple(
        (record[3:], _CONFLICTS[record[:2]]) for record in records if record[:2] in _CONFLICTS
    )


def rename_tree(repository: Repository, commit: str, naming: Naming) -> str:
    """Return the tree of a commit under a name."""
    entries = [entry for entry in repository.list_tree(commit) if entry.mode != "120000"]
    changed = {}
    contents = repository.read_blobs([entry.blob for entry in entries])
    for entry, content in zip(entries, contents, strict=True):
        renamed = naming.apply(entry.path, content)
        if renamed != content:
            changed[entry] = renamed
    return repository.write_tree(commit, changed)


def _commit_release(
    repository: Repository,
    content: str,
    release: str,
    naming: Naming | None,
    *,
    parents: list[str],
) -> str:
    """Return a new commit that stands for `release`, with the tree of commit `content`."""
    tree = f"{content}^{{tree}}" if naming is None else rename_tree(repository, content, naming)
    trailers = [f"{_RELEASE}: {release}"]
    if naming is not None:
        trailers += [f"{_NAME}: {naming.name}", f"{_TITLE}: {naming.title}"]
    message = "\n".join([f"Release {release[:12]} of the suite", "", *trailers, ""])
    tree = repository.run("rev-parse", tree) if naming is None else tree
    return repository.commit_tree(tree, parents, message)


def _record_origin(
    repository: Repository, source: str, made_from: str, naming: Naming | None
) -> RecordedRelease:
    """Make the release that the project was made from an ancestor of it, under its name."""
    release = _fetch(repository, source, made_from)
    commit = _commit_release(repository, release, release, naming, parents=[])
    tree = repository.run("rev-parse", "HEAD^{tree}")
    message = f"Record that the project was made from release {made_from}\n"
    joined = repository.commit_tree(tree, [repository.resolve("HEAD"), commit], message)
    repository.run("merge", "--quiet", "--ff-only", joined)
    return RecordedRelease(commit, release, naming)


def _fetch(repository: Repository, source: str, revision: str) -> str:
    """Fetch a revision and return its commit."""
    try:
        repository.run("fetch", "--quiet", "--no-tags", source, f"+{revision}:{_FETCHED}")
    except GitError as error:
        raise ProjectError(f"{revision} cannot be fetched from {source}: {error}") from error
    return repository.resolve(_FETCHED)


def _newest_remote_tag(repository: Repository, source: str) -> str | None:
    try:
        listed = repository.run(
            "ls-remote", "--tags", "--refs", "--quiet", source, f"refs/tags/{_TAGS}"
        )
    except GitError as error:
        raise ProjectError(f"{source} cannot be read: {error}") from error
    tags = sorted(line.rpartition("refs/tags/")[2] for line in listed.splitlines())
    return tags[-1] if tags else None


def _read_trailer(repository: Repository, commit: str, key: str) -> str:
    return repository.run("log", "-1", f"--format=%(trailers:key={key},valueonly)", commit).strip()


def _count_changes(repository: Repository, since: str) -> int:
    return len(repository.run("diff", "--name-only", since).splitlines())
