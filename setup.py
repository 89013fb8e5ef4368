"""Build: one static library of kernels per instruction set, one for the runtime, libodyssey of them all, and the Cython
entry modules.

Metadata lives in pyproject.toml. libodyssey knows nothing of Python, and only `dispatch` links it: kernels and state exist
once in a process, for Python and for any other language in it.
"""

import json
import os
import platform
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import Cython
import numpy
from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext

KERNELS = "odyssey/_kernels"
GENERATED = Path("build/generated")
TEXTS = sorted(str(path) for path in Path(KERNELS, "c").glob("*.h")) + sorted(
    str(path) for path in Path("include/odyssey").glob("*.h")
)
SOURCES = sorted(str(path) for path in Path(KERNELS, "c").glob("*.c"))

# No flag here, and none that it implies, may let the compiler change a floating-point result.
# -g0 undoes Python's own -g: tracking every inlined vector through the optimiser takes minutes and fills the wheel.
COMMON = ["-g0", "-std=gnu11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-fPIC", "-Wall", "-Wextra"]
COMMON += os.environ.get("ODYSSEY_CFLAGS", "").split()

# Instruction set -> compiler flags. The scalar set is for machines that have no other, and for comparing bits: it is made
# small, less than half of what -O3 makes of it, since arithmetic that calls fmaf is not fast either way.
INSTRUCTION_SETS = {
    "x86_64": {
        "scalar": ["-Os"],
        "avx2": ["-mavx2", "-mfma", "-mf16c", "-mbmi2"],
        "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma", "-mf16c", "-mbmi2",
                   "-mprefer-vector-width=512"],
    },
    "aarch64": {"scalar": ["-Os"], "neon": []},
}
# Beside a set's table: kernels for precision="native", outside the bits rule.
NATIVE = {"avx512": ["-mavx512bf16", "-mavx512vnni"]}
MACHINE = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
SETS = INSTRUCTION_SETS.get(MACHINE, {"scalar": []})


# What the kernels themselves do not include, so that a change there does not compile every instruction set anew.
AROUND = {"include/odyssey/odyssey.h", "include/odyssey/operations.h", "include/odyssey/runtime.h"} | {
    path for path in TEXTS if Path(path).name.startswith(("abi_", "driver"))
}


def library(name: str, sources: list[str], flags: list[str]) -> tuple[str, dict]:
    paths = [f"{KERNELS}/c/{source}" for source in sources]
    kernels = [text for text in TEXTS if text not in AROUND]
    return name, {
        "sources": paths,
        "cflags": COMMON + flags,
        "include_dirs": ["include", str(GENERATED)],
        "obj_deps": {path: kernels if Path(path).stem in {f"isa_{isa}" for isa in SETS} else [*TEXTS, str(GENERATED / "ody_build.h")] for path in paths},
    }


LIBRARIES = [library(f"ody_{isa}", [f"isa_{isa}.c"], flags) for isa, flags in SETS.items()]
LIBRARIES += [library(f"ody_{isa}_native", [f"isa_{isa}_native.c"], SETS[isa] + more) for isa, more in NATIVE.items() if isa in SETS]
# Everything beside the isa_*.c is the runtime: compiled once, with baseline flags.
RUNTIME = sorted(path.name for path in Path(KERNELS, "c").glob("*.c") if not path.name.startswith(("abi", "isa_")))
LIBRARIES.append(library("ody_abi", ["abi.c"], ["-fno-lto", "-Os"]))
LIBRARIES.append(library("ody_runtime", RUNTIME, ["-fno-lto"]))

# The shared library of all of them: odyssey.library_path().
SHARED = f"libodyssey{'.dylib' if sys.platform == 'darwin' else '.so'}"

# Per entry module: what it links beside libc.
MODULES = {
    "dispatch": ["odyssey"],
    "array": [],
    "elementwise": [],
    "linear": [],
    "grouped": [],
    "packing": [],
    "probe": [],
    "activations": [],
    "optim": [],
    "reductions": [],
    "reduction_gradients": [],
    "softmax": [],
    "cross_entropy": [],
    "window": [],
    "filter": [],
    "conv": [],
    "conv_transpose": [],
    "pooling": [],
    "attention": [],
    "rotary": [],
    "sampling": [],
    "norms": [],
    "normalise": [],
    "embedding": [],
    "routing": [],
    "dropout": [],
    "transport": [],
    "hyper": [],
    "mhc": [],
    "geometry": [],
    "manifold": [],
    "images": [],
    "crossing": [],
    "tape": [],
    "typed": [],
}

# Modules whose few instructions are what a small call costs; the others are compiled for size, which takes a quarter off them.
QUICK = {"array", "crossing", "elementwise", "activations", "linear", "grouped", "reductions", "softmax", "tape", "typed"}
# Per entry module, flags beside the common ones. GCC clears a new object of some hundred bytes by one slow instruction.
MODULE_FLAGS = {"typed": ["-fno-builtin-memset"]}

def describe_build() -> None:
    """Writes ody_build.h, what odyssey.show_config() tells of this build; left alone when nothing changed, so that it
    rebuilds only what it must."""
    compiler = os.environ.get("CC", "cc")
    found = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout.splitlines()
    description = json.dumps({
        "version": tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"],
        "compiler": found[0] if found else compiler,
        "flags": COMMON,
        "instruction_sets": SETS,
        "cython": Cython.__version__,
        "numpy": numpy.__version__,
        "machine": MACHINE,
    })
    version = json.loads(description)["version"]
    text = f"#define ODY_BUILD {json.dumps(description)}\n#define ODY_VERSION {json.dumps(version)}\n"
    header = GENERATED / "ody_build.h"
    if not header.exists() or header.read_text() != text:
        GENERATED.mkdir(parents=True, exist_ok=True)
        header.write_text(text)


describe_build()


# libodyssey is found beside the module that needs it.
BESIDE = ["-Wl,-rpath,@loader_path" if sys.platform == "darwin" else "-Wl,-rpath,$ORIGIN"]

EXTENSIONS = [
    Extension(
        f"odyssey._kernels.{module}",
        [f"{KERNELS}/{module}.pyx"],
        include_dirs=["include", str(GENERATED), numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=["-g0", "-O2" if module in QUICK else "-Os", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-Wno-unused-function"]
        + MODULE_FLAGS.get(module, [])
        + os.environ.get("ODYSSEY_CFLAGS", "").split(),
        extra_link_args=["-lpthread", *(BESIDE if libraries else []), *os.environ.get("ODYSSEY_LDFLAGS", "").split()],
        libraries=libraries,
        depends=TEXTS + (SOURCES + [str(GENERATED / "ody_build.h")] if libraries else []),
    )
    for module, libraries in MODULES.items()
]

# Translated beside the source, as ever, but with other directives elsewhere: neither must pass for the other.
TRANSLATED = "build/boundscheck/c" if os.environ.get("ODYSSEY_BOUNDSCHECK") else None

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": bool(os.environ.get("ODYSSEY_BOUNDSCHECK")),
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "annotation_typing": False,
    "binding": True,
    "embedsignature": False,
}


class parallel_build_clib(build_clib):
    """setuptools builds libraries one after another; the instruction sets are independent, so build them at once."""

    def build_libraries(self, libraries: list) -> None:
        with ThreadPoolExecutor(os.cpu_count()) as workers:
            list(workers.map(lambda one: build_clib.build_libraries(self, [one]), libraries))


class parallel_build_ext(build_ext):
    """The entry modules, and before them the library that one of them links."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        self.run_command("build_clib")  # `build_ext` alone, as in an in-place build, would not
        super().run()

    @property
    def shared(self) -> Path:
        return Path(self.build_lib, KERNELS, SHARED)

    def build_extensions(self) -> None:
        archives = [Path(self.get_finalized_command("build_clib").build_clib, f"lib{name}.a") for name, _ in LIBRARIES]
        self.shared.parent.mkdir(parents=True, exist_ok=True)
        if self.force or not self.shared.exists() or any(one.stat().st_mtime > self.shared.stat().st_mtime for one in archives):
            self.link_shared(archives)
        for extension in self.extensions:
            if "odyssey" in extension.libraries:
                extension.library_dirs.append(str(self.shared.parent))
        super().build_extensions()

    def link_shared(self, archives: list[Path]) -> None:
        """Everything in the archives; what the headers do not declare visible stays inside."""
        if sys.platform == "darwin":
            how = ["-dynamiclib", f"-Wl,-install_name,@rpath/{SHARED}", *(f"-Wl,-force_load,{one}" for one in archives)]
        else:
            # Bsymbolic: calls within the library go straight. nodelete: threads of the pool may be asleep in it.
            how = ["-shared", f"-Wl,-soname,{SHARED}", "-Wl,-Bsymbolic-functions,-z,nodelete", "-Wl,--whole-archive",
                   *map(str, archives), "-Wl,--no-whole-archive"]
        self.spawn([*self.compiler.compiler_so[:1], *how, "-o", str(self.shared), "-lm", "-lpthread",
                    *os.environ.get("ODYSSEY_LDFLAGS", "").split()])

    def copy_extensions_to_source(self) -> None:
        super().copy_extensions_to_source()
        self.copy_file(str(self.shared), f"{KERNELS}/{SHARED}", level=self.verbose)

    def get_outputs(self) -> list[str]:
        return sorted({*super().get_outputs(), str(self.shared)})

    def get_output_mapping(self) -> dict[str, str]:
        return {**super().get_output_mapping(), **({str(self.shared): f"{KERNELS}/{SHARED}"} if self.inplace else {})}


if __name__ == "__main__":
    setup(
        # The C headers and the .proto files stand at the top of the repository and are installed inside the package:
        # odyssey.get_include(), odyssey.get_protos().
        packages=[*find_packages(include=["odyssey*"]), "odyssey.include", "odyssey.protos"],
        package_dir={"odyssey.include": "include", "odyssey.protos": "protos"},
        package_data={"odyssey": ["py.typed"], "*": ["*.pyi", "*.pxd"], "odyssey.bench": ["*.html"], "odyssey.include": ["odyssey/*.h"],
                      "odyssey.protos": ["*.proto", "*.binpb"], "odyssey.bridge.compiling": ["*.h"]},
        include_package_data=False,
        exclude_package_data={"": ["*.c", "*.pyx"]},
        libraries=LIBRARIES,
        ext_modules=cythonize(EXTENSIONS, compiler_directives=DIRECTIVES, include_path=["."], build_dir=TRANSLATED),
        cmdclass={"build_clib": parallel_build_clib, "build_ext": parallel_build_ext},
    )
