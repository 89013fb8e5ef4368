"""What odyssey costs before it does anything: the time to import it, and the size of its wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

__all__ = ["Import", "find_wheel", "stripped_size"]

PROGRAM = "from time import perf_counter; start = perf_counter(); import {}; print(perf_counter() - start)"


class Import:
    """A contender: importing a module in a new interpreter. Only the import is timed, not the interpreter's start."""

    def __init__(self, module: str) -> None:
        self.name = module
        package = Path(__file__).parents[2]
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def result(self) -> None:
        """Nothing to check: a failed import raises."""
        self.sample(1)

    def sample(self, calls: int) -> float:
        """Seconds for `calls` imports."""
        command = [sys.executable, "-c", PROGRAM.format(self.name)]
        return sum(
            float(subprocess.run(command, env=self._environment, check=True, capture_output=True, text=True).stdout)
            for _ in range(calls)
        )


def find_wheel() -> Path | None:
    """The newest wheel in the repository's `dist`, or None."""
    wheels = Path(__file__).parents[2].glob("dist/odyssey-*.whl")
    return max(wheels, key=lambda path: path.stat().st_mtime, default=None)


def stripped_size(wheel: Path) -> tuple[int, bool]:
    """The bytes of a wheel whose libraries carry no symbols, and whether it had to be stripped for that.

    Raises:
        FileNotFoundError: there is no such wheel, or no `strip` to tell whether it is stripped.
    """
    strip = shutil.which("strip")
    if strip is None:
        raise FileNotFoundError("expected the command strip, of binutils, found none")
    with tempfile.TemporaryDirectory(prefix="odyssey-bench-") as folder, zipfile.ZipFile(wheel) as archive:
        smaller = Path(folder) / wheel.name
        saved = 0
        with zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as stripped:
            for name in archive.namelist():
                member = Path(archive.extract(name, folder))
                if member.suffix == ".so":
                    before = member.stat().st_size
                    subprocess.run([strip, "--strip-unneeded", str(member)], check=True)
                    saved += before - member.stat().st_size
                if member.is_file():
                    stripped.write(member, name)
        if saved == 0:
            return wheel.stat().st_size, False
        return smaller.stat().st_size, True
