"""The tables without Python: every slot of every instruction set gives the same bits, NEON under an emulator included.

A small C program calls each slot with the same numbers and prints a hash. It calls the tables of the libodyssey that was
built and is used; NEON's, which no x86-64 machine has, is cross-compiled from the very same files and run by qemu.
"""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import odyssey as od

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "odyssey" / "_kernels" / "c"
pytestmark = [
    pytest.mark.source,
    pytest.mark.xdist_group("native"),  # they share what the compiler takes minutes for
    pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="the C sources are not beside the tests"),
]

FLAGS = [
    "-std=gnu11", "-O2", "-ffp-contract=off", "-fno-math-errno", *os.environ.get("ODYSSEY_CFLAGS", "").split()
]  # fmt: skip


def slots() -> str:
    """SLOT lines for kernel_digest.c, from the declarations in kernels.h."""
    lines = []
    for type_, name in re.findall(r"ODY_PAIR\((\w+), (\w+)\);", (ROOT / "include/odyssey/kernels.h").read_text()):
        for bits in (32, 64):
            if type_ == "ody_conv_sizes_fn":
                op = name.removesuffix("_sizes")
                direction = 2 if op.endswith("weight") else 1 if op.endswith("input") else 0
                pack = "NULL" if direction == 2 else f"TABLE.{op}_pack_f{bits}"
                lines.append(f"CONV_SLOT({op}_f{bits}, {pack}, {name}_f{bits}, {bits}, {direction})")
            # Probes measure and compute nothing; of a convolution's slots the one for sizes stands for all.
            if type_.endswith(("workspace_fn", "sizes_fn", "probe_fn", "conv_fn")):
                continue
            if type_ in ("ody_attention_fn", "ody_attention_backward_fn"):
                lines.append(f"ATTENTION_SLOT({type_}, {name}_f{bits}, {name}_workspace_f{bits}, {bits})")
            elif type_ == "ody_norm_fn" and name.endswith("_columns"):
                lines.append(f"NORM_COLUMNS_SLOT({name}_f{bits}, {bits})")
            elif type_ == "ody_hyper_fn":
                backward = int(name.endswith("backward"))
                lines.append(f"HYPER_SLOT({name}_f{bits}, hyper_workspace_f{bits}, {bits}, {backward})")
            elif type_ == "ody_filter_fn":
                known = re.search(r"_(\d)x\d$", name)
                least, most = (known.group(1), known.group(1)) if known else (2, 7)
                lines.append(f"FILTER_SLOT({name}_f{bits}, {bits}, {least}, {most})")
            elif type_ == "ody_sinkhorn_fn":
                most = "ODY_SINKHORN_FEW" if name == "sinkhorn_few" else "MOST"
                lines.append(f"SINKHORN_SLOT({name}_f{bits}, {bits}, {most})")
            elif type_ == "ody_transport_fn":
                writes = int(name == "transport_gradient")
                lines.append(f"TRANSPORT_SLOT({name}_f{bits}, {bits}, {writes})")
            elif type_ == "ody_pool_fn":
                lines.append(f"POOL_SLOT({name}_f{bits}, {bits})")
            elif type_ == "ody_gemm_fn":
                lines.append(f"GEMM_SLOT({name}_f{bits}, {name}_workspace_f{bits}, {bits})")
            else:
                lines.append(f"SLOT({type_}, {name}_f{bits}, {bits})")
    assert len(lines) > 2
    return "\n".join(lines) + "\n"


def compile_(compiler: str, source: Path, target: Path, flags: list[str]) -> Path:
    include = [f"-I{ROOT / 'include'}", f"-I{target.parent}"]
    subprocess.run([compiler, *FLAGS, *flags, *include, "-c", str(source), "-o", str(target)], check=True)
    return target


def build(folder: Path) -> Path:
    """The program over the tables of libodyssey."""
    (folder / "slots.inc").write_text(slots())
    compiler, program, library = shutil.which("cc") or "gcc", folder / "digest", Path(od.library_path())
    main = compile_(compiler, ROOT / "tests/native/kernel_digest.c", folder / "digest.o", [])
    subprocess.run(
        [compiler, str(main), str(library), f"-Wl,-rpath,{library.parent}", "-lm", "-o", str(program)], check=True
    )
    return program


def cross_build(folder: Path, compiler: str) -> Path:
    """The program with NEON's table linked in."""
    (folder / "slots.inc").write_text(slots())
    table = "-DTABLE=ody_kernels_neon"
    sources = KERNELS / "isa_neon.c", ROOT / "tests/native/kernel_digest.c"
    objects = [str(compile_(compiler, source, folder / f"{source.stem}.o", [table])) for source in sources]
    program = folder / "digest_neon"
    subprocess.run([compiler, "-static", *objects, "-lm", "-o", str(program)], check=True)
    return program


def run(command: list[str]) -> dict[str, str]:
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(line.split() for line in output.splitlines())


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build(tmp_path_factory.mktemp("digest")))


@pytest.fixture(scope="session")
def scalar(program: str) -> dict[str, str]:
    """The scalar table's hashes: what the others are held against."""
    return run([program, "scalar"])


def agree(found: dict[str, str], expected: dict[str, str]) -> None:
    assert found.keys() == expected.keys()
    different = sorted(name for name in found if found[name] != expected[name])
    assert not different, f"other bits than the scalar build's: {', '.join(different)}"


def test_the_hash_sees_one_bit(scalar: dict[str, str]) -> None:
    assert len(set(scalar.values())) > len(scalar) // 2


def test_a_table_that_is_not_there_is_not_hashed(program: str) -> None:
    assert subprocess.run([program, "sse9"], capture_output=True).returncode == 2


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AVX needs an x86-64 machine")
@pytest.mark.parametrize("isa", ["avx2", "avx512"])
def test_x86_tables_give_the_scalar_bits(isa: str, program: str, scalar: dict[str, str]) -> None:
    if isa not in od.isa.available():
        pytest.skip(f"this machine lacks {isa}")
    agree(run([program, isa]), scalar)


def test_neon_gives_the_scalar_bits_under_qemu(program: str, scalar: dict[str, str], tmp_path: Path) -> None:
    if platform.machine() == "aarch64":
        agree(run([program, "neon"]), scalar)
        return
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        pytest.skip("needs Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user")
    agree(run([emulator, str(cross_build(tmp_path, compiler))]), scalar)
