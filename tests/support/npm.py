"""Packages for Node that tests need, as pinned and hashed in `tests/support/node`."""

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.support.packages import brought

_PINNED: Final = Path(__file__).parent / "node"
_FILES: Final = ("package.json", "package-lock.json")
_INSTALL: Final = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")


def node_modules() -> Path:
    """Give the folder with all of them; they are installed once on a machine.

    Raises:
        Missing: there is no npm, and it cannot be had.
        subprocess.CalledProcessError: npm cannot bring them, or they are not what is pinned.
    """
    digest = hashlib.sha256(b"".join((_PINNED / name).read_bytes() for name in _FILES))
    folder = Path(tempfile.gettempdir(), f"courier-node-{digest.hexdigest()[:16]}")
    folder.mkdir(exist_ok=True)
    # One at a time, whichever process of the tests needs it.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            for name in _FILES:
                shutil.copy(_PINNED / name, folder)
            subprocess.run([brought("npm", "npm"), *_INSTALL], cwd=folder, check=True)
            (folder / "installed").touch()
    return folder / "node_modules"
