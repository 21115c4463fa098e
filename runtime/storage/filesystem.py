"""Whether a file may be, or become, a database: what is checked before SQLite sees it. An edge.

Never opens an existing database: closing such a descriptor would drop the locks that SQLite holds
on the file anywhere else in this process.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from perdure.actors.errors import StoreDamaged
from perdure.runtime.storage.errors import (
    DirectoryMissing,
    NetworkFileSystem,
    NotARegularFile,
    NotWritable,
)

_NETWORK = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "glusterfs", "lustre", "ncpfs", "nfs"),
        *("nfs4", "ocfs2", "orangefs", "smb2", "smb3", "smbfs", "fuse.ceph", "fuse.gcsfuse"),
        *("fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
    }
)
_MOUNTS = Path("/proc/self/mounts")
_PRIVATE = 0o600


def prepare(path: Path, mounts: Path = _MOUNTS) -> Path:
    """Check that `path` can be a database, create it if it is not there, and return its real path.

    Only its owner may read it then. Raises a `StoreRefused`.
    """
    directory = _directory(path)
    kind = file_system_of(directory, mounts)
    if kind in _NETWORK:
        raise NetworkFileSystem(
            f"the database {path} lies on a network file system ({kind}), whose locks do not keep "
            "two writers apart; put it on a local disk"
        )
    path = directory / path.name
    if not os.access(directory, os.W_OK | os.X_OK):
        raise NotWritable(
            f"the directory {directory} of the database {path.name} is not writable for this user; "
            "the database needs files beside it: change its permissions, or name another place"
        )
    _create(path)
    _check_file(path)
    return path


def file_system_of(directory: Path, mounts: Path = _MOUNTS) -> str:
    """The type of the file system that holds `directory`, empty where the system does not say."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    best, kind = Path(), ""
    for line in lines:
        _, point, this_kind, *_ = line.split(" ")
        # Spaces and the like stand as octal escapes; a later mount on the same point hides the
        # first.
        mounted = Path(point.encode("utf-8", "surrogateescape").decode("unicode_escape"))
        if directory.is_relative_to(mounted) and len(mounted.parts) >= len(best.parts):
            best, kind = mounted, this_kind
    return kind


class Presence:
    """Notices that a file of an open database was deleted or replaced.

    SQLite would go on writing to what no longer has a name, and lose it all at the end.
    """

    def __init__(self, *paths: Path) -> None:
        self._seen: dict[Path, tuple[int, int] | None] = dict.fromkeys(paths)

    def learn(self) -> None:
        """Call when the database is known to be open, so that its files are there to stay."""
        for path, seen in self._seen.items():
            if seen is None:
                self._seen[path] = _file_id(path)

    def check(self) -> None:
        """Raises `StoreDamaged` if a file is not the one that it was."""
        for path, seen in self._seen.items():
            if seen is not None and _file_id(path) != seen:
                raise StoreDamaged(
                    f"{path} was deleted or replaced while the database was in use; what was "
                    "written since is lost: stop all nodes and restore a backup"
                )


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _directory(path: Path) -> Path:
    try:
        directory = path.parent.resolve(strict=True)
    except PermissionError as error:
        raise NotWritable(
            f"the directory {path.parent} of the database {path.name} is not accessible for this "
            "user; change its permissions, or name another place"
        ) from error
    except OSError as error:
        raise DirectoryMissing(
            f"the directory {path.parent} of the database {path.name} does not exist; create it, "
            "or name another place"
        ) from error
    if not directory.is_dir():
        raise DirectoryMissing(f"{directory}, where the database {path.name} should be, is a file")
    return directory


def _create(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, _PRIVATE))
    except FileExistsError:
        return
    except OSError as error:
        raise NotWritable(f"cannot create the database {path}: {error.strerror}") from error


def _check_file(path: Path) -> None:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise NotARegularFile(
            f"the database {path} is a symbolic link; its log and lock files would be looked for "
            f"beside the link: name the file itself, {path.resolve()}"
        )
    if not stat.S_ISREG(status.st_mode):
        raise NotARegularFile(f"the database {path} is not a regular file; name another path")
    if status.st_nlink > 1:
        raise NotARegularFile(
            f"the database {path} has {status.st_nlink} names (hard links), each of which would "
            "get a log and a lock file of its own; remove all but one"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise NotWritable(
            f"the database {path} is not writable for this user; change its owner or permissions"
        )
    if status.st_uid == os.geteuid():
        for name in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", ".lock"))):
            _make_private(name)


def _make_private(path: Path) -> None:
    try:
        if stat.S_IMODE(path.lstat().st_mode) & 0o077:
            path.chmod(_PRIVATE)
    except FileNotFoundError:
        return
