import json
import sys

import pytest

from handfast.bench.backends import BACKENDS
from handfast.bench.compiled import find_compiler
from handfast.cli_bench import ALL_BACKENDS
from handfast.errors import HandfastError

COLUMNS = {
    "backend",
    "ms",
    "ratio_to_c",
    "gflops",
    "peak_percent",
    "arena_bytes",
    "weight_bytes",
    "installed",
}


@pytest.fixture
def bench(handfast_command, monkeypatch, tmp_path):
    """The command, with short turns, where what it compiles is kept apart from the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: handfast_command(
        "bench", "tofnet-tof8", "--rounds", "2", "--seconds", "0.02", *arguments
    )


@pytest.fixture
def without_openvino(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)  # importing it now raises ImportError


def test_every_engine_is_measured_unless_told_otherwise():
    assert ALL_BACKENDS.split(",") == list(BACKENDS)


@pytest.mark.usefixtures("without_openvino")
def test_json_has_a_row_for_each_engine_installed_or_not(bench):
    code, stdout, stderr = bench("--backends", "openvino,onnxruntime,naive", "--json")
    assert (code, stderr) == (0, "")
    report = json.loads(stdout.splitlines()[-1])
    openvino, onnxruntime, naive = report["rows"]
    assert all(COLUMNS <= row.keys() for row in report["rows"])
    assert (openvino["installed"], openvino["ms"]) == (False, None)
    assert onnxruntime["installed"] and onnxruntime["ms"] > 0 and onnxruntime["ratio_to_c"] is None
    try:
        find_compiler()
    except HandfastError:
        assert report["peak_gflops"] is None and not naive["installed"]
    else:
        assert report["peak_gflops"] > naive["gflops"]
        assert naive["weight_bytes"] == 146952


@pytest.mark.usefixtures("without_openvino")
def test_the_table_says_what_to_install(bench):
    code, stdout, stderr = bench("--backends", "onnxruntime,openvino")
    assert (code, stderr) == (0, "")
    heading, row, *rest = stdout.splitlines()
    assert heading.split() == [
        "ms",
        "x",
        "c",
        "GFLOP/s",
        "%",
        "of",
        "peak",
        "arena",
        "bytes",
        "weight",
        "bytes",
    ]
    assert row.startswith("onnxruntime")
    assert rest[0] == "openvino: not installed: pip install openvino"


def test_results_are_kept_with_the_facts_of_the_machine(bench, tmp_path):
    path = tmp_path / "results" / "bench.json"
    code, stdout, _ = bench("--backends", "onnxruntime", "--save", path, "--json")
    assert code == 0
    kept = json.loads(path.read_text())
    assert (kept["model"], kept["rounds"], kept["seconds"]) == ("tofnet-tof8", 2, 0.02)
    assert kept["machine"]["versions"]["onnxruntime"]
    assert {name: kept[name] for name in ("peak_gflops", "rows")} == json.loads(stdout.splitlines()[-1])


def test_the_speeds_are_drawn(bench, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "pictures" / "bench.png"
    code, _, stderr = bench("--backends", "onnxruntime", "--plot", path)
    assert (code, stderr) == (0, "")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_nothing_is_measured(bench, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, stdout, stderr = bench("--backends", "onnxruntime", "--plot", tmp_path / "bench.png")
    assert (code, stdout, stderr) == (2, "", 'error: plots need matplotlib: pip install "handfast[plots]"\n')


@pytest.mark.usefixtures("without_openvino")
def test_of_dense_regression_the_stages_are_told_apart(handfast_command, dense_checkpoint, tmp_path):
    arguments = ("--rounds", "1", "--seconds", "0.01", "--save", tmp_path / "bench.json", "--json")
    code, stdout, stderr = handfast_command("bench", dense_checkpoint("dense-lean-l3"), *arguments)
    assert (code, stderr) == (0, "")
    report = json.loads(stdout.splitlines()[-1])
    torch, onnxruntime, openvino = report["rows"]
    assert [row["backend"] for row in report["rows"]] == ["torch", "onnxruntime", "openvino"]
    for row in (torch, onnxruntime):
        stages_ms = [row[f"{stage}_ms"] for stage in ("preprocess", "network", "decode")]
        assert min(stages_ms) > 0 and row["total_ms"] == pytest.approx(sum(stages_ms))
        assert row["installed"] and row["fps"] == pytest.approx(1000 / row["total_ms"])
    assert (openvino["installed"], openvino["total_ms"]) == (False, None)
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept["rows"] == report["rows"] and kept["machine"]["versions"]["onnxruntime"]


@pytest.mark.usefixtures("without_openvino")
def test_the_table_of_stages(handfast_command, dense_onnx, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, stdout, _ = handfast_command("bench", dense_onnx, "--rounds", "1", "--seconds", "0.01")
    heading, row, *problems = stdout.splitlines()
    assert code == 0 and row.startswith("onnxruntime")
    assert heading.split() == ["preprocess_ms", "network_ms", "decode_ms", "total_ms", "fps"]
    assert problems == [
        "torch: no time: it runs checkpoints, not what is exported",
        "openvino: not installed: pip install openvino",
    ]


@pytest.mark.usefixtures("without_openvino")
@pytest.mark.parametrize("kind", ["dirnet_folder", "dirnet_checkpoint"])
def test_of_dirnet_every_number_of_loops_is_timed(handfast_command, request, tmp_path, kind):
    model = request.getfixturevalue(kind)
    arguments = ("--rounds", "1", "--seconds", "0.01", "--save", tmp_path / "bench.json", "--json")
    code, stdout, stderr = handfast_command("bench", model, *arguments)
    assert (code, stderr) == (0, "")
    facts = json.loads(stdout.splitlines()[-1])
    onnxruntime, openvino = facts["reports"]
    assert [row["loops"] for row in onnxruntime["rows"]] == [0, 1, 2, 3]
    assert onnxruntime["problem"] is None
    assert (openvino["installed"], openvino["rows"]) == (False, [])
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept["reports"] == facts["reports"] and kept["machine"]["versions"]["onnxruntime"]


@pytest.mark.usefixtures("without_openvino")
def test_the_table_of_loops(handfast_command, dirnet_folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, stdout, _ = handfast_command("bench", dirnet_folder, "--rounds", "1", "--seconds", "0.01")
    heading, *rows, loop, problem = stdout.splitlines()
    assert code == 0 and len(rows) == 4 and all(row.startswith("onnxruntime") for row in rows)
    assert heading.split()[:7] == ["ms", "loops", "extract", "refine", "attend", "pose", "total"]
    assert loop.startswith("onnxruntime: one more loop takes ")
    assert problem == "openvino: not installed: pip install openvino"


@pytest.mark.usefixtures("without_openvino")
@pytest.mark.parametrize(("options", "p_fine"), [((), 0.25), (("--p-fine", "0.5"), 0.5)])
def test_of_ace_a_frame_is_timed_with_the_gate_and_without(
    handfast_command, ace_checkpoint, tmp_path, options, p_fine
):
    arguments = ("--rounds", "1", "--seconds", "0.01", "--save", tmp_path / "bench.json", "--json")
    code, stdout, stderr = handfast_command("bench", ace_checkpoint, *arguments, *options)
    assert (code, stderr) == (0, "")
    facts = json.loads(stdout.splitlines()[-1])
    onnxruntime, openvino = facts["reports"]
    assert onnxruntime["p_fine"] == p_fine and onnxruntime["problem"] is None
    parts = ("coarse", "coarse_p99", "fine", "recur", "mean", "always_fine")
    assert min(onnxruntime[f"{part}_ms"] for part in parts) > 0
    assert (openvino["installed"], openvino["mean_ms"]) == (False, None)
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept["reports"] == facts["reports"] and kept["machine"]["versions"]["onnxruntime"]


@pytest.mark.usefixtures("without_openvino")
def test_the_table_of_the_gate(handfast_command, ace_checkpoint, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, stdout, _ = handfast_command("bench", ace_checkpoint, "--rounds", "1", "--seconds", "0.01")
    heading, row, verdict, problem = stdout.splitlines()
    assert code == 0 and row.startswith("onnxruntime ") and len(row.split()) == 9
    assert heading.split() == "ms fine LSTM coarse p99 a frame p99 always fine p99".split()
    assert "in 25 % of the frames" in verdict and "of the time of always fine; p99" in verdict
    assert problem == "openvino: not installed: pip install openvino"


@pytest.mark.parametrize(("arguments", "complaint"), [
    (("ace", "--backends", "c"), "error: --backends: expected some of onnxruntime, openvino, got c"),
    (("ace-hourglass-half", "--plot", "bench.png"), "error: --plot: not for ACE"),
    (("tofnet-tof8", "--p-fine", "0.1"), "error: --p-fine: expected an ACE, got tofnet-tof8"),
    (("dirnet", "--backends", "c"), "error: --backends: expected some of onnxruntime, openvino, got c"),
    (("dirnet", "--plot", "bench.png"), "error: --plot: not for DIR-Net"),
    (("no.safetensors",), "error: no.safetensors: expected a whole handfast checkpoint"),
    (("dense-lean-l3", "--backends", "c"), "error: --backends: expected some of torch, onnxruntime,"),
    (("dense-lean-l3", "--plot", "bench.png"), "error: --plot: not for dense regression"),
    (("dense-5stack",), "error: model 'dense-5stack': expected tofnet-hand21"),
    (("ace-coarse",), "error: ace-coarse: expected a net with a gate, such as ace"),
])  # fmt: skip
def test_what_cannot_be_done_with_parts_of_networks(handfast_command, arguments, complaint):
    code, stdout, stderr = handfast_command("bench", *arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith(complaint) and stderr.count("\n") == 1


def test_a_folder_is_what_it_holds(handfast_command, dirnet_folder, tmp_path, monkeypatch):
    """Whatever it is called."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dense-runs").symlink_to(dirnet_folder)
    _, _, stderr = handfast_command("bench", "dense-runs", "--backends", "c")
    assert stderr.startswith("error: --backends: expected some of onnxruntime, openvino, got c")


@pytest.mark.parametrize(("arguments", "complaint"), [
    (("--backends", "onnxruntime,tensorrt"), "error: --backends: expected some of c, c-int8,"),
    (("--save", "bench.txt"), "error: bench.txt: expected a file name that ends in .json"),
    (("--plot", "bench.gif"), "error: bench.gif: expected a file name that ends in .png"),
])  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line(bench, arguments, complaint):
    code, stdout, stderr = bench(*arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith(complaint) and stderr.count("\n") == 1


def test_a_network_that_sees_colour_is_timed_but_in_8_bits(handfast_command):
    arguments = ("--backends", "c-int8,onnxruntime", "--rounds", "2", "--seconds", "0.01", "--json")
    code, stdout, _ = handfast_command("bench", "tofnet-rgb", *arguments)
    rows = {row["backend"]: row for row in json.loads(stdout.splitlines()[-1])["rows"]}
    assert code == 0 and rows["onnxruntime"]["ms"] > 0 and not rows["onnxruntime"]["problem"]
    assert rows["c-int8"]["ms"] is None and "sees colour" in rows["c-int8"]["problem"]
