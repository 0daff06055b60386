"""Forgets packages that an interrupted installation left half there. Runs inside the environment, by its own Python.

pip takes a package for installed once its metadata exists. Killed in the middle, it leaves metadata without a
RECORD, or files that the RECORD lists and the disk lacks; such metadata is removed, and pip installs the package anew.
"""

from __future__ import annotations

import shutil
import sysconfig
from importlib.metadata import Distribution
from pathlib import Path


def is_whole(distribution: Distribution) -> bool:
    """True where every file that the package says it has is there."""
    files = distribution.files
    if not files:
        return False
    return all(Path(str(distribution.locate_file(file))).exists() for file in files if file.suffix != ".pyc")


def repair(packages: Path) -> None:
    """Removes the metadata of every half-installed package in a folder of packages."""
    for metadata in sorted(packages.glob("*.dist-info")):
        if not is_whole(Distribution.at(metadata)):
            shutil.rmtree(metadata)
            print(f"half installed, to be installed again: {metadata.name}")


if __name__ == "__main__":
    repair(Path(sysconfig.get_paths()["purelib"]))
