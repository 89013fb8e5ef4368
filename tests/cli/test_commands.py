"""The command line in this process: what it prints, what it leaves, and how errors end."""

import json
import re
import resource

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("safetensors")
from click.testing import CliRunner
from idx_files import emnist, mnist, write

import odyssey as od
from odyssey.cli.main import COMMANDS, cli

RUN = {"checkpoint.safetensors", "config.json", "curve.svg", "metrics.jsonl", "model.safetensors"}


def odyssey(*args):
    return CliRunner().invoke(cli, [str(arg) for arg in args])


def trained(folder, *args):
    return odyssey("train", "lenet5", "--out", folder, *args)


def files(folder):
    return {path.name for path in folder.iterdir()}


def is_one_line(result, *parts):
    """Exit 2, nothing on stdout but what came before, one line on stderr with all of the parts."""
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    for part in ("odyssey: ", *map(str, parts)):
        assert part in lines[0]
    return True


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return mnist(tmp_path_factory.mktemp("mnist"), train=80, test=20)


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("runs") / "run"
    result = trained(folder, "--data", data, "--epochs", 12, "--batch-size", 16)
    assert result.exit_code == 0, result.output
    return folder, result


def test_training_leaves_a_run_folder_and_a_summary(run, data):
    folder, result = run
    assert files(folder) == RUN
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"LeNet-5 on {data.name}: 80 images of 28x28 to learn from, 20 held out, 10 classes")
    assert sum(line.startswith("epoch") for line in lines) == 12
    for name in ("held out", "worst pair", "speed", "time", "run"):
        assert any(line.startswith(name) for line in lines), name
    assert re.search(r"images/s\n", result.stdout)
    assert re.search(r"time +[\d.]+ s:  data \d+%  forward \d+%  backward \d+%  optimizer \d+%", result.stdout)
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [m["epoch"] for m in metrics] == list(range(1, 13))
    config = json.loads((folder / "config.json").read_text())
    assert config["model"] == {"name": "lenet5", "arguments": {"num_classes": 10, "in_channels": 1, "image_size": 28}}
    assert config["training"]["data"] == str(data)
    assert (folder / "curve.svg").read_text().startswith("<?xml")
    model = od.models.LeNet5(**config["model"]["arguments"])
    model.load_state_dict(od.load(folder / "model.safetensors"))


def test_the_same_command_leaves_the_same_model(tmp_path, data):
    for name in ("one", "two"):
        assert trained(tmp_path / name, "--data", data, "--epochs", 2).exit_code == 0
    assert (tmp_path / "one/model.safetensors").read_bytes() == (tmp_path / "two/model.safetensors").read_bytes()
    assert trained(tmp_path / "three", "--data", data, "--epochs", 2, "--seed", 1).exit_code == 0
    assert (tmp_path / "one/model.safetensors").read_bytes() != (tmp_path / "three/model.safetensors").read_bytes()


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_other_optimizers(tmp_path, data, optimizer):
    options = ("--optimizer", optimizer, "--lr", 0.003, "--threads", 1, "--isa", od.isa.available()[-1])
    assert trained(tmp_path / "run", "--data", data, "--epochs", 1, *options).exit_code == 0
    assert json.loads((tmp_path / "run/config.json").read_text())["training"]["lr"] == 0.003
    assert od.isa.active() == od.isa.available()[0]


def test_training_by_the_definitions(tmp_path, data, monkeypatch):
    from odyssey.tensor import ops

    fast, used = ops.matmul, []
    monkeypatch.setattr(od.reference, "linear", lambda *a, f=od.reference.linear: (used.append(1), f(*a))[1])
    assert trained(tmp_path / "run", "--data", data, "--epochs", 1, "--reference").exit_code == 0
    assert used
    assert ops.matmul is fast


def test_emnist_letters_are_learned_as_26_classes(tmp_path):
    folder = emnist(tmp_path / "emnist", "letters", 26)
    emnist(tmp_path / "emnist", "digits", 10)
    result = trained(tmp_path / "run", "--data", folder, "--split", "letters", "--epochs", 1)
    assert result.exit_code == 0, result.output
    assert "26 classes" in result.stdout


def test_the_digits_are_the_default(tmp_path):
    pytest.importorskip("sklearn")
    result = trained(tmp_path / "run", "--epochs", 1, "--batch-size", 700)
    assert result.exit_code == 0, result.output
    assert "LeNet-5 on digits: 1,438 images of 32x32 to learn from, 359 held out, 10 classes" in result.stdout


def test_a_finished_run_resumes_to_itself(run):
    folder, _ = run
    before = (folder / "model.safetensors").read_bytes()
    result = odyssey("train", "lenet5", "--resume", folder)
    assert result.exit_code == 0, result.output
    assert "held out" in result.stdout
    assert (folder / "model.safetensors").read_bytes() == before


def test_resuming_with_other_settings_is_refused(run, tmp_path, data):
    folder, _ = run
    resume = ("train", "lenet5", "--resume", folder)
    assert odyssey(*resume, "--epochs", 12, "--seed", 0, "--data", data, "--out", folder).exit_code == 0
    assert is_one_line(odyssey(*resume, "--epochs", 13), "expected epochs 12", "found 13", "start a new run")
    assert is_one_line(odyssey(*resume, "--optimizer", "adam"), "expected optimizer sgd", "found adam")
    assert is_one_line(odyssey(*resume, "--out", tmp_path / "other"), "expected --out to be the run resumed")
    other = mnist(tmp_path / "other", train=70)
    assert is_one_line(odyssey(*resume, "--data", other), "expected the images the run began with")


def test_data_that_moved_can_be_named_again(tmp_path, data):
    import shutil

    here, there = shutil.copytree(data, tmp_path / "here"), tmp_path / "there"
    assert trained(tmp_path / "run", "--data", here, "--epochs", 1).exit_code == 0
    here.rename(there)
    assert is_one_line(odyssey("train", "lenet5", "--resume", tmp_path / "run"), here, "found nothing there")
    assert odyssey("train", "lenet5", "--resume", tmp_path / "run", "--data", there).exit_code == 0


def test_a_taken_folder_is_refused(run, tmp_path, data):
    folder, _ = run
    before = files(folder)
    assert is_one_line(trained(folder, "--data", data), "found a run in it", "--resume")
    assert files(folder) == before
    (tmp_path / "file").write_text("x")
    assert is_one_line(trained(tmp_path, "--data", data), "expected a new or empty folder", "something there")
    assert is_one_line(trained(tmp_path / "file", "--data", data), "expected a new or empty folder")


def test_bad_data_leaves_nothing_behind(tmp_path, data):
    out = tmp_path / "runs/run"
    assert is_one_line(trained(out, "--data", tmp_path / "nowhere"), "expected a folder of IDX files")
    folder = mnist(tmp_path / "lying")
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    assert is_one_line(trained(out, "--data", folder), path, "expected 47056 bytes", "found 47055", "get it again")
    write(path, np.zeros((60, 32, 32), np.uint8))
    assert is_one_line(trained(out, "--data", folder), "expected uint8 images of 28x28, found uint8 60x32x32")
    folder = emnist(tmp_path / "emnist", "digits", 10, compressed=False)
    write(folder / "emnist-digits-test-labels-idx1-ubyte", np.full(70, 11, np.uint8))
    assert is_one_line(trained(out, "--data", folder), "expected labels from 0 to 9", "found 0 to 11")
    assert not out.parent.exists()


def test_a_run_that_diverges_says_so(tmp_path, data):
    with np.errstate(all="ignore"):
        result = trained(tmp_path / "run", "--data", data, "--epochs", 3, "--batch-size", 8, "--lr", 1e20)
    assert is_one_line(result, "expected a finite loss", "choose a lower one")


@pytest.mark.parametrize("limit", [100, 100_000, 300_000])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, data, limit):
    """No room for the configuration, for the first checkpoint, and for the one with momentum."""
    out = tmp_path / "runs/run"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        result = trained(out, "--data", data, "--epochs", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert is_one_line(result, out, "expected room to write it", "nothing was half-written")
    if limit < 300_000:
        assert not out.parent.exists()
        return
    assert files(out) == {"checkpoint.safetensors", "config.json", "metrics.jsonl"}
    result = odyssey("train", "lenet5", "--resume", out)  # when there is room again
    assert result.exit_code == 0, result.output
    assert files(out) == RUN


@pytest.mark.parametrize(
    ("name", "damage", "parts"),
    [
        ("checkpoint.safetensors", lambda b: b[:1000], ("expected a complete safetensors file",)),
        ("checkpoint.safetensors", lambda b: b"", ("expected a complete safetensors file",)),
        ("checkpoint.safetensors", lambda b: b.replace(b"odyssey.check", b"odyssey.chick"), ("expected a checkpoint",)),
        ("config.json", lambda b: b[:50], ("expected the configuration of a run of lenet5",)),
        ("config.json", lambda b: b.replace(b"lenet5", b"resnet"), ("model resnet",)),
        ("config.json", lambda b: b.replace(b'"epochs"', b'"epoch"'), ("expected the settings of a run",)),
    ],
)
def test_a_corrupt_run_is_named(tmp_path, data, name, damage, parts):
    out = tmp_path / "run"
    assert trained(out, "--data", data, "--epochs", 1).exit_code == 0
    (out / name).write_bytes(damage((out / name).read_bytes()))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert is_one_line(odyssey("train", "lenet5", "--resume", out), out / name, *parts)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_run_that_is_not_there_is_named(tmp_path):
    assert is_one_line(odyssey("train", "lenet5", "--resume", tmp_path / "no"), "expected the folder of a run")
    assert is_one_line(odyssey("predict", tmp_path, "x.png"), "expected the folder of a run", "found none there")


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (("train", "lenet5", "--epochs", "0"), ("--epochs",)),
        (("train", "lenet5", "--batch-size", "x"), ("--batch-size",)),
        (("train", "lenet5", "--optimizer", "sdg"), ("--optimizer", "sgd")),
        (("train", "lenet5", "--isa", "mmx"), ("--isa", "mmx", "scalar")),
        (("train", "lenet6"), ("lenet6",)),
        (("trian",), ("trian",)),
        (("predict",), ("RUN",)),
        (("verify", "nonsense"), ("nonsense", "softmax")),
        (("verify", "--isa", "mmx"), ("mmx", "scalar")),
    ],
)
def test_wrong_usage_is_one_line(args, parts):
    assert is_one_line(odyssey(*args), *parts)


@pytest.fixture
def image(tmp_path):
    pil = pytest.importorskip("PIL.Image")
    from idx_files import drawn

    def make(label, name="image.png", mode="L", size=None, invert=False):
        pixels = drawn(10, 10, seed=5)[0][label]
        picture = pil.fromarray(255 - pixels if invert else pixels).convert(mode)
        if size is not None:
            picture = picture.resize(size)
        picture.save(tmp_path / name)
        return tmp_path / name

    return make


def test_prediction_shows_the_three_likeliest(run, image):
    folder, _ = run
    for label in (3, 7):
        result = odyssey("predict", folder, image(label))
        assert result.exit_code == 0, result.output
        rows = [re.fullmatch(r" *(\w+) +([\d.]+)%", line).groups() for line in result.stdout.splitlines()]
        assert len(rows) == 3
        assert rows[0][0] == str(label)
        shares = [float(share) for _, share in rows]
        assert shares == sorted(shares, reverse=True)
        assert 50 < shares[0] <= sum(shares) <= 100.01


def test_prediction_takes_colours_and_dark_ink(run, image):
    folder, _ = run
    plain = odyssey("predict", folder, image(4)).stdout
    assert odyssey("predict", folder, image(4, mode="RGB")).stdout == plain
    assert odyssey("predict", folder, "--invert", image(4, invert=True)).stdout == plain


def test_prediction_refuses_what_is_no_image_of_the_size(run, image, tmp_path):
    folder, _ = run
    wrong = image(1, size=(20, 30))
    assert is_one_line(odyssey("predict", folder, wrong), wrong, "expected an image of 28x28", "found 20x30", "resize")
    (tmp_path / "text.png").write_text("hello")
    assert is_one_line(odyssey("predict", folder, tmp_path / "text.png"), "expected an image, found something else")
    assert is_one_line(odyssey("predict", folder, tmp_path / "no.png"), "no.png", "found nothing there")
    assert is_one_line(odyssey("predict", folder, tmp_path), str(tmp_path))
    good = image(1)
    good.write_bytes(good.read_bytes()[:-60])
    assert is_one_line(odyssey("predict", folder, good), "found")


def test_prediction_by_a_corrupt_model_is_refused(tmp_path, data, image):
    out = tmp_path / "run"
    assert trained(out, "--data", data, "--epochs", 1).exit_code == 0
    path = out / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert is_one_line(odyssey("predict", out, image(1)), path, "expected a complete safetensors file")
    path.unlink()
    assert is_one_line(odyssey("predict", out, image(1)), path, "expected a trained model, found none")


def test_info_as_text_and_as_json():
    result = odyssey("info", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["instruction_sets"]["usable"] == od.isa.available()
    assert found["instruction_sets"]["active"] == od.isa.active()
    assert found["cores"]["threads"] == od.threads.count()
    assert found["libraries"]["numpy"] == np.__version__
    assert {"version", "build", "cores", "caches", "memory", "libraries", "python", "system"} <= set(found)
    text = odyssey("info")
    assert text.exit_code == 0
    for name in ("instruction sets", "usable", "affinity", "cgroup quota", "caches", "memory", "libraries", "numpy"):
        assert name in text.stdout


def test_verify_prints_a_table_and_passes():
    result = odyssey("verify", "softmax")
    assert result.exit_code == 0, result.output
    assert re.search(r"softmax +softmax .* pass", result.stdout)
    assert "operations pass" in result.stdout


def test_verify_fails_with_1_and_says_where(monkeypatch):
    monkeypatch.setattr(od, "softmax", lambda x, axis=-1, out=None: od.reference.softmax(x, axis, out) * 1.01)
    result = odyssey("verify", "softmax")
    assert result.exit_code == 1
    assert re.search(r"softmax +softmax .* FAIL", result.stdout)
    assert re.search(r"^softmax: float32 .*", result.stdout, re.MULTILINE)


def test_help_lists_every_command():
    result = odyssey("--help")
    assert result.exit_code == 0
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", result.stdout, re.MULTILINE)
    options = odyssey("train", "lenet5", "--help").stdout
    for name in ("data", "epochs", "batch-size", "lr", "optimizer", "seed", "threads", "isa", "reference"):
        assert f"--{name}" in options
    for name in ("out", "resume"):
        assert f"--{name}" in options


def test_the_version_is_printed():
    result = odyssey("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("odyssey ")


def test_the_exhaustive_run_shows_keeps_and_writes_its_table(tmp_path):
    kept, table = tmp_path / "kept.json", tmp_path / "table.md"
    options = ["--stride", 400_009, "--jobs", 1, "--op", "exp", "--op", "gelu", "--keep", kept, "--markdown", table]
    result = odyssey("verify", "--exhaustive", *options)
    assert result.exit_code == 0, result.output
    assert "3 functions, every 400009-th of the 2^32 inputs" in result.stdout
    assert "3 of 3 functions pass" in result.stdout
    assert "| gelu(approximate='tanh') | 2 |" in table.read_text()
    again = odyssey("verify", "--exhaustive", *options)
    assert "3 were done before" in again.stdout
    kept.write_text(json.dumps({"about": {}, "functions": {}}))
    assert is_one_line(odyssey("verify", "--exhaustive", *options), kept, "name another file")
    kept.write_text("[")
    assert is_one_line(odyssey("verify", "--exhaustive", *options), kept, "expected what an earlier run kept")


def test_what_belongs_to_the_exhaustive_run_needs_it():
    assert is_one_line(odyssey("verify", "--op", "exp"), "expected --exhaustive")
    assert is_one_line(odyssey("verify", "--exhaustive", "--op", "softmax"), "--op", "found 'softmax'")
    assert is_one_line(odyssey("verify", "--exhaustive", "reductions"), "FAMILY")
