"""Puts the collections that ansible/ needs, and ansible/ itself, where Ansible looks for collections.

They are Galaxy's, which not every network reaches; the package `ansible` on PyPI carries the same. Of its
547 MB these are what is needed.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "ansible==12.3.0"
COLLECTIONS = ["community/crypto"]

ROOT = Path(__file__).resolve().parents[2]


def main():
    """The one argument is the folder."""
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*download, "--no-deps", "--dest", folder, PACKAGE], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            wanted = tuple(f"ansible_collections/{name}/" for name in COLLECTIONS)
            wheel.extractall(target, [name for name in wheel.namelist() if name.startswith(wanted)])
    own = target / "ansible_collections/vaultgram"
    own.mkdir(exist_ok=True)
    (own / "deploy").unlink(missing_ok=True)
    (own / "deploy").symlink_to(ROOT / "ansible")


if __name__ == "__main__":
    main()
