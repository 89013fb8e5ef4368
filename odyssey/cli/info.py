"""`odyssey info`: what runs here."""

from __future__ import annotations

import json
import os
import platform
from typing import Any

import click

from odyssey.bench.machine import caches, memory, processor, version_of

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
        "libraries": {name: version_of(name) for name in LIBRARIES},
    }


def build() -> dict[str, Any]:
    """How the kernels were compiled."""
    from odyssey.config import build_info

    return dict(build_info())
