"""`odyssey info`: what runs here."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import click

__all__ = ["gather", "info"]

LIBRARIES = (
    "numpy", "threadpoolctl", "click", "rich", "safetensors", "scikit-learn", "matplotlib", "pillow", "ml_dtypes",
    "torch", "onnxruntime", "pyarrow", "msgspec", "protobuf", "Cython",
)  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(as_json: bool) -> None:
    """Show the version, the build, the instruction sets and the machine."""
    found = gather()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for title, value in found.items():
        _show(title.replace("_", " "), value, 0)


def _show(title: str, value: Any, depth: int) -> None:
    indent = "  " * depth
    if isinstance(value, dict):
        click.echo(f"{indent}{title}")
        for key, inner in value.items():
            _show(str(key).replace("_", " "), inner, depth + 1)
    else:
        text = ", ".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)
        click.echo(f"{indent}{title:<{22 - len(indent)}} {text}")


def gather() -> dict[str, Any]:
    """All of it, ready for JSON. What the machine does not tell is None."""
    import odyssey
    from odyssey import isa, threads

    return {
        "version": odyssey.__version__,
        "build": build(),
        "instruction_sets": {"found": list(isa.found()), "usable": list(isa.available()), "active": isa.active()},
        "cores": {
            "online": os.cpu_count(),
            "affinity": threads.affinity(),
            "cgroup_quota": threads.cgroup_quota(),
            "threads": threads.count(),
        },
        "processor": processor(),
        "caches": caches(),
        "memory": memory(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "libraries": {name: metadata_version(name) for name in LIBRARIES},
    }


def metadata_version(name: str) -> str | None:
    """An installed distribution's version."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def build() -> dict[str, Any]:
    """How the kernels were compiled."""
    from odyssey.config import build_info

    return dict(build_info())


def processor() -> str | None:
    """The processor's name, as the kernel knows it."""
    for line in _read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "CPU part"):
            return value.strip()
    return platform.processor() or None


def caches(root: str = "/sys/devices/system/cpu/cpu0/cache") -> dict[str, str]:
    """The caches that the first core sees: level and kind -> size, and how many processors share it."""
    found = {}
    for index in sorted(Path(root).glob("index*")):
        level, kind, size = (_read(index / name).strip() for name in ("level", "type", "size"))
        shared = len(_parse_list(_read(index / "shared_cpu_list").strip()))
        if level and size:
            suffix = {"Data": "d", "Instruction": "i"}.get(kind, "")
            found[f"L{level}{suffix}"] = size + (f", shared by {shared}" if shared > 1 else "")
    return found


def _parse_list(text: str) -> list[int]:
    """0-3,8 -> [0, 1, 2, 3, 8]."""
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def memory() -> dict[str, str | None]:
    """Main memory, and what the cgroup grants of it."""
    fields = dict(line.split(":", 1) for line in _read("/proc/meminfo").splitlines() if ":" in line)
    limit = _read("/sys/fs/cgroup/memory.max").strip() or _read("/sys/fs/cgroup/memory/memory.limit_in_bytes").strip()
    total = _kilobytes(fields.get("MemTotal"))
    granted = int(limit) if limit.isdecimal() else None
    if granted is not None and total is not None and granted >= total:
        granted = None  # cgroup v1 says "none" with a very large number
    return {
        "total": _gibibytes(total),
        "available": _gibibytes(_kilobytes(fields.get("MemAvailable"))),
        "cgroup_limit": _gibibytes(granted),
    }


def _kilobytes(field: str | None) -> int | None:
    return int(field.split()[0]) * 1024 if field else None


def _gibibytes(size: int | None) -> str | None:
    return None if size is None else f"{size / 2**30:.1f} GiB"


def _read(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
