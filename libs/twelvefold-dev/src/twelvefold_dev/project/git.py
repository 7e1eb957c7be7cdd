"""The git repository of a project, as far as a merge of releases needs it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twelvefold.settings import process_environment

_TIMEOUT = 600.0  # seconds for one command; a first fetch of a large repository is the longest


class GitError(Exception):
    """A git command failed. The message is its last output."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree."""

    mode: str
    blob: str
    path: str


@dataclass(frozen=True, slots=True)
class Repository:
    """The repository whose work tree is `root`."""

    root: Path

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Return the output of a git command without its last line break. Raises GitError."""
        output, code = self.try_run(*arguments, stdin=stdin, variables=variables)
        if code != 0:
            raise GitError(output.strip() or f"git {arguments[0]} failed")
        return output.removesuffix("\n")

    def try_run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> tuple[str, int]:
        """Return output and exit code of a git command; stderr only where it failed."""
        done = self._execute(*arguments, stdin=stdin, variables=variables)
        output = done.stdout if done.returncode == 0 else done.stdout + done.stderr
        return output.decode(errors="replace"), done.returncode

    def _execute(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                ["git", *arguments],  # noqa: S607 (the developer's git)
                cwd=self.root,
                input=stdin,
                env={**process_environment(), **(variables or {}), "LC_ALL": "C"},
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GitError(f"git {arguments[0]}: {error}") from error

    def resolve(self, revision: str) -> str:
        """Return the id of the commit that `revision` names. Raises GitError."""
        try:
            return self.run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        except GitError:
            raise GitError(f"there is no revision {revision}") from None

    def is_ancestor(self, earlier: str, later: str) -> bool:
        return self.try_run("merge-base", "--is-ancestor", earlier, later)[1] == 0

    def list_tree(self, commit: str) -> list[Entry]:
        """Return the files of a commit; submodules are left out."""
        entries = []
        for record in filter(None, self.run("ls-tree", "-rz", commit).split("\0")):
            meta, _, path = record.partition("\t")
            mode, kind, blob = meta.split()
            if kind == "blob":
                entries.append(Entry(mode, blob, path))
        return entries

    def read_blobs(self, blobs: Sequence[str]) -> Iterator[bytes]:
        """Yield the content of each blob. Raises GitError."""
        done = self._execute("cat-file", "--batch", stdin="\n".join([*blobs, ""]).encode())
        if done.returncode != 0:
            raise GitError(done.stderr.decode(errors="replace").strip())
        output, start = done.stdout, 0
        for _ in blobs:  # a line with id, type and size, the content, and a line break
            line_end = output.index(b"\n", start)
            end = line_end + 1 + int(output[start:line_end].split()[2])
            yield output[line_end + 1 : end]
            start = end + 1

    def write_tree(self, base: str, changed: Mapping[Entry, bytes]) -> str:
        """Return the id of the tree of commit `base` with the given contents."""
        with tempfile.TemporaryDirectory() as folder:
            variables = {"GIT_INDEX_FILE": os.path.join(folder, "index")}  # noqa: PTH118 (a string)
            self.run("read-tree", base, variables=variables)
            files = [Path(folder, str(number)) for number in range(len(changed))]
            for file, content in zip(files, changed.values(), strict=True):
                file.write_bytes(content)
            blobs = self.run(
                *("hash-object", "-w", "--no-filters", "--stdin-paths"),
                stdin="\n".join(map(str, files)).encode(),
            ).splitlines()
            records = [
                f"{entry.mode} {blob}\t{entry.path}\0"
                for entry, blob in zip(changed, blobs, strict=True)
            ]
            self.run(
                "update-index",
                "-z",
                "--index-info",
                stdin="".join(records).encode(),
                variables=variables,
            )
            return self.run("write-tree", variables=variables)

    def commit_tree(self, tree: str, parents: Sequence[str], message: str) -> str:
        """Return the id of a new commit, which no branch contains yet."""
        options = [option for parent in parents for option in ("-p", parent)]
        return self.run("commit-tree", tree, *options, "-F", "-", stdin=message.encode())
