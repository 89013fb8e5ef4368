"""Writes protos/descriptors.binpb, what protoc makes of the .proto files: `python tools/compile_protos.py`.

It needs grpcio-tools, which brings protoc. Programs read the descriptors and need neither.
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "protos"
FILES = ("data.proto", "model.proto")


def compile_protos(target: Path) -> None:
    """Write a FileDescriptorSet of FILES and all they import."""
    import grpc_tools
    from grpc_tools import protoc

    well_known = Path(grpc_tools.__file__).parent / "_proto"
    arguments = [f"-I{FOLDER}", f"-I{well_known}", "--include_imports", f"--descriptor_set_out={target}", *FILES]
    if protoc.main(["protoc", *arguments]) != 0:
        sys.exit("protoc: expected to compile the .proto files; what it found is printed above")


if __name__ == "__main__":
    compile_protos(FOLDER / "descriptors.binpb")
