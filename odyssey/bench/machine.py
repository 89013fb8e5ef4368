"""What the machine says of itself; what it does not say is None."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = [
    "cache_bytes",
    "caches",
    "describe",
    "frequency",
    "memory",
    "processor",
    "processor_family",
    "version_of",
]

CPU0 = Path("/sys/devices/system/cpu/cpu0")


def describe(libraries: Sequence[str] = ()) -> dict[str, Any]:
    """The machine and what runs on it, ready for JSON; with the versions of some libraries, None for absent ones."""
    from odyssey import isa, threads
    from odyssey.config import build_info

    build = build_info()
    return {
        "processor": processor(),
        "cores": {"online": os.cpu_count(), "affinity": threads.affinity(), "cgroup_quota": threads.cgroup_quota()},
        "frequency": frequency(),
        "caches": caches(),
        "memory": memory(),
        "huge_pages": _chosen(_read("/sys/kernel/mm/transparent_hugepage/enabled")),
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "odyssey": {key: build.get(key) for key in ("version", "compiler", "flags") if key in build},
        "instruction_sets": {"found": isa.found(), "usable": isa.available(), "active": isa.active()},
        "libraries": {name: version_of(name) for name in ("numpy", *libraries)},
        "load": load(),
    }


def version_of(name: str) -> str | None:
    """An installed distribution's version."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def processor() -> str | None:
    """The processor's name, with family and model: virtual machines shorten the name."""
    fields = _cpuinfo()
    name = fields.get("model name") or fields.get("Model") or fields.get("CPU part") or platform.processor() or None
    if name and "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields.get('model')})"
    return name


def processor_family() -> tuple[str | None, int | None]:
    """Vendor and family as CPUID gives them: ("AuthenticAMD", 26) is Zen 5."""
    fields = _cpuinfo()
    family = fields.get("cpu family", "")
    return fields.get("vendor_id"), int(family) if family.isdecimal() else None


def frequency(root: Path = CPU0) -> dict[str, str | None]:
    """What governs the clock, and what it says now; in a virtual machine this is often nothing."""
    highest = _read(root / "cpufreq/cpuinfo_max_freq").strip()
    return {
        "governor": _read(root / "cpufreq/scaling_governor").strip() or None,
        "now_mhz": _cpuinfo().get("cpu MHz"),
        "max_mhz": str(int(highest) // 1000) if highest.isdecimal() else None,
    }


def caches(root: Path = CPU0) -> dict[str, str]:
    """The caches that the first core sees: level and kind -> size, and how many processors share it."""
    found = {}
    for index in sorted((root / "cache").glob("index*")):
        level, kind, size = (_read(index / name).strip() for name in ("level", "type", "size"))
        shared = len(_parse_list(_read(index / "shared_cpu_list").strip()))
        if level and size:
            suffix = {"Data": "d", "Instruction": "i"}.get(kind, "")
            found[f"L{level}{suffix}"] = size + (f", shared by {shared}" if shared > 1 else "")
    return found


def cache_bytes(level: int, default: int) -> int:
    """The size of a data cache, or the default where the system does not tell."""
    for name, text in caches().items():
        size = text.partition(",")[0]
        if name in (f"L{level}", f"L{level}d") and size[:-1].isdecimal():
            return int(size[:-1]) << {"K": 10, "M": 20, "G": 30}.get(size[-1], 0)
    return default


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


def load() -> str | None:
    """How many processes wanted a processor over the last minute: above 0 on a machine that should be quiet, beware."""
    try:
        return f"{os.getloadavg()[0]:.2f}"
    except OSError:
        return None


def _cpuinfo() -> dict[str, str]:
    """The first processor's lines."""
    first = _read("/proc/cpuinfo").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _chosen(text: str) -> str | None:
    """always [madvise] never -> madvise."""
    return text.partition("[")[2].partition("]")[0] or None


def _parse_list(text: str) -> list[int]:
    """0-3,8 -> [0, 1, 2, 3, 8]."""
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _kilobytes(field: str | None) -> int | None:
    return int(field.split()[0]) * 1024 if field else None


def _gibibytes(size: int | None) -> str | None:
    return None if size is None else f"{size / 2**30:.1f} GiB"


def _read(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
