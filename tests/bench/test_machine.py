"""What the report says of the machine, read from files as systems write them."""

import pytest

from odyssey.bench import machine


def cpu(folder, *levels):
    for i, (level, kind, size, shared) in enumerate(levels):
        cache = folder / "cache" / f"index{i}"
        cache.mkdir(parents=True)
        for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
            (cache / name).write_text(f"{text}\n")
    return folder


def test_caches_are_told_apart_by_level_and_kind(tmp_path):
    root = cpu(
        tmp_path, ("1", "Data", "32K", "0"), ("1", "Instruction", "32K", "0"), ("3", "Unified", "32M", "0-3,8"), ("", "", "", ""),
    )  # fmt: skip
    assert machine.caches(root) == {"L1d": "32K", "L1i": "32K", "L3": "32M, shared by 5"}


@pytest.mark.parametrize(("level", "size"), [(1, 32 << 10), (2, 77), (3, 32 << 20)])
def test_the_size_of_a_cache_is_in_bytes_or_the_default(monkeypatch, level, size):
    monkeypatch.setattr(machine, "caches", lambda: {"L1i": "64K", "L1d": "32K", "L3": "32M, shared by 4"})
    assert machine.cache_bytes(level, 77) == size


def test_memory_that_the_cgroup_grants_is_told_where_it_is_less(monkeypatch):
    texts = {
        "/proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n",
        "/sys/fs/cgroup/memory.max": f"{2 << 30}\n",
    }
    monkeypatch.setattr(machine, "_read", lambda path: texts.get(str(path), ""))
    assert machine.memory() == {"total": "8.0 GiB", "available": "4.0 GiB", "cgroup_limit": "2.0 GiB"}
    texts["/sys/fs/cgroup/memory.max"] = f"{1 << 62}"
    assert machine.memory()["cgroup_limit"] is None


def test_the_clock_is_told_in_megahertz(tmp_path):
    folder = tmp_path / "cpufreq"
    folder.mkdir()
    (folder / "cpuinfo_max_freq").write_text("3700000\n")
    (folder / "scaling_governor").write_text("performance\n")
    found = machine.frequency(tmp_path)
    assert (found["max_mhz"], found["governor"]) == ("3700", "performance")
    assert machine.frequency(tmp_path / "none")["governor"] is None


def test_a_system_that_tells_no_load_has_none(monkeypatch):
    def refuse():
        raise OSError

    monkeypatch.setattr(machine.os, "getloadavg", refuse)
    assert machine.load() is None


def test_a_processor_without_a_family_is_its_name(monkeypatch):
    monkeypatch.setattr(machine, "_read", lambda path: "model name: Some Chip\n" if "cpuinfo" in str(path) else "")
    assert machine.processor_family() == (None, None)
    assert "Some Chip" in str(machine.describe(()))
