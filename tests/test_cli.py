import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import handfast
from handfast import cli
from handfast.evaluation.cost import Cost, LayerCost
from handfast.geometry import Camera
from handfast.sensors.sources import write_recording
from handfast.structures import Frame, HandPose

INTRINSICS = "300,300,15.5,11.5"


class OneHandTracker:
    """Finds one hand in every frame."""

    def __init__(self, model: str, backend: str):
        self.name, self.model = model, SimpleNamespace(backend=backend)

    def track(self, source):
        for frame in source:
            points = np.random.default_rng(frame.index).uniform(0, 20, (21, 2))
            yield frame, [HandPose("left" if frame.index else "right", 0.9, points, np.ones(21, bool))]


@pytest.fixture
def one_hand_tracker(monkeypatch):
    monkeypatch.setattr("handfast.tracking.opening.Tracker", OneHandTracker)


@pytest.fixture
def clips(tmp_path):
    """A folder with a source of each kind, good and bad."""
    rng = np.random.default_rng(0)
    clips = tmp_path / "clips"
    for name in ("empty", "grey", "cut", "mixed", "depth"):
        (clips / name).mkdir(parents=True)
    for i in range(4):
        image = rng.integers(0, 255, (24, 32), dtype=np.uint8)
        for name in ("grey", "cut", "mixed"):
            cv2.imwrite(str(clips / name / f"{i}.png"), image)
        cv2.imwrite(str(clips / "depth" / f"{i}.png"), image.astype(np.uint16) * 40)
    (clips / "cut" / "2.png").write_bytes((clips / "grey" / "2.png").read_bytes()[:-30])
    cv2.imwrite(str(clips / "mixed" / "2.png"), image.astype(np.uint16))
    (clips / "noise.mp4").write_bytes(rng.bytes(4000))
    (clips / "noise.zip").write_bytes(rng.bytes(4000))
    (clips / "noise.onnx").write_bytes(rng.bytes(4000))
    write_recording(clips / "good.zip", [Frame(i, i / 30, image, camera=None) for i in range(3)])
    return clips


def run(capfd, monkeypatch, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["handfast", *map(str, arguments)])
    code = 0
    try:
        cli.main()
    except SystemExit as done:
        code = done.code or 0
    return code, *capfd.readouterr()


def files_below(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_track_prints_a_summary_and_where_the_results_are(
    clips, tmp_path, capfd, monkeypatch, one_hand_tracker
):
    code, stdout, stderr = run(capfd, monkeypatch, "track", clips / "grey", "--out", tmp_path / "out")
    assert (code, stderr) == (0, "")
    for expected in ("hands.jsonl", "overlay.mp4", "contact_sheet.png", "4 (3 left, 1 right)", "frames/s"):
        assert expected in stdout
    assert files_below(tmp_path / "out") == {"hands.jsonl", "overlay.mp4", "contact_sheet.png"}


def test_track_json_is_the_last_line(clips, tmp_path, capfd, monkeypatch, one_hand_tracker):
    out = tmp_path / "out"
    code, stdout, stderr = run(
        capfd, monkeypatch, "track", clips / "cut", "--out", out, "--skip-bad-frames", "--json"
    )
    assert code == 0
    summary = json.loads(stdout.splitlines()[-1])
    assert summary.pop("frames_per_s") > 0
    assert summary == {
        "source": str(clips / "cut"),
        "frames": 3,
        "skipped": 1,
        "frames_with_hand": 3,
        "hands": 3,
        "left": 2,
        "right": 1,
        "model": "tofnet-hand21",
        "backend": "onnxruntime",
        "out": str(out),
        "outputs": [str(out / name) for name in ("hands.jsonl", "overlay.mp4", "contact_sheet.png")],
    }
    assert stderr.startswith("skipped: 2.png: ") and stderr.count("\n") == 1


def test_track_depth_with_its_options(clips, tmp_path, capfd, monkeypatch):
    seen = []

    class Tracker(OneHandTracker):
        def track(self, source):
            seen.append((self.name, self.model.backend))
            for frame, hands in super().track(source):
                seen.append(frame)
                yield frame, hands

    monkeypatch.setattr("handfast.tracking.opening.Tracker", Tracker)
    options = ["--intrinsics", INTRINSICS, "--depth-unit-mm", "0.25", "--fps", "10"]
    options += ["--model", "tofnet-tof8", "--backend", "c"]
    code, _, _ = run(capfd, monkeypatch, "track", clips / "depth", "--out", tmp_path / "out", *options)
    assert code == 0
    model, *frames = seen
    assert model == ("tofnet-tof8", "c")
    assert [frame.time_s for frame in frames] == [0.0, 0.1, 0.2, 0.3]
    assert {frame.depth_unit_mm for frame in frames} == {0.25}
    assert {frame.camera for frame in frames} == {Camera(300, 300, 15.5, 11.5, width=32, height=24)}


class FakeCamera:
    """A camera, as OpenCV opens one; Ctrl-C is pressed while it takes the given pictures."""

    def __init__(self, interrupted_at=()):
        self.interrupted_at, self.taken = interrupted_at, 0

    def read(self):
        self.taken += 1
        if self.taken in self.interrupted_at:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)  # it may arrive in another thread first
        return True, np.full((24, 32, 3), (10, 60, 200), np.uint8)

    def get(self, what):
        return 30.0


@pytest.mark.parametrize(
    ("options", "interrupted_at", "frames"),
    [([], [5], 3), (["--frames", "7"], [], 7), (["--seconds", "0.3"], [], None), (["--frames", "7"], [5], 3)],
)
def test_track_a_camera_until_it_is_enough(
    tmp_path, capfd, monkeypatch, one_hand_tracker, options, interrupted_at, frames
):
    """Its first picture says how large they are; the one in which Ctrl-C is pressed does not count."""
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCamera(interrupted_at))
    handler, out = signal.getsignal(signal.SIGINT), tmp_path / "out"
    code, stdout, stderr = run(capfd, monkeypatch, "track", "camera:0", "--out", out, "--json", *options)
    assert (code, stderr) == (0, "")
    assert signal.getsignal(signal.SIGINT) is handler
    summary = json.loads(stdout)
    assert summary["source"] == "camera:0"
    monkeypatch.undo()
    records = [json.loads(line) for line in (out / "hands.jsonl").read_text().splitlines()]
    video = cv2.VideoCapture(str(out / "overlay.mp4"))
    assert summary["frames"] == len(records) == video.get(cv2.CAP_PROP_FRAME_COUNT)
    if frames is None:
        assert records[-1]["time_s"] < 0.3
    else:
        assert len(records) == frames
    assert files_below(out) == {"hands.jsonl", "overlay.mp4", "contact_sheet.png"}


@pytest.fixture
def interruptible():
    """Ctrl-C as in a terminal; in a shell's background it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_second_interrupt_breaks_off(tmp_path, capfd, monkeypatch):
    class Slow(OneHandTracker):
        def track(self, source):
            yield from super().track(source)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)  # which the signal, wherever it arrives, breaks off
            raise AssertionError("Ctrl-C was not heard")

    monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCamera([5]))
    monkeypatch.setattr("handfast.tracking.opening.Tracker", Slow)
    code, stdout, _ = run(capfd, monkeypatch, "track", "camera:0", "--out", tmp_path / "out")
    assert (code != 0, stdout) == (True, "")
    assert not files_below(tmp_path)


def test_track_the_beginning_of_a_clip(clips, tmp_path, capfd, monkeypatch, one_hand_tracker):
    for options, frames in ((["--frames", "3"], 3), (["--seconds", "0.05"], 2), (["--frames", "9"], 4)):
        arguments = ["track", clips / "grey", "--out", tmp_path / "out", "--json", *options]
        code, stdout, _ = run(capfd, monkeypatch, *arguments)
        assert (code, json.loads(stdout)["frames"]) == (0, frames)


def test_track_without_a_camera(clips, capfd, monkeypatch):
    before = files_below(clips)
    monkeypatch.setattr(FakeCamera, "read", lambda self: (False, None))
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCamera())
    code, stdout, stderr = run(capfd, monkeypatch, "track", "camera:0", "--out", clips / "new")
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: camera:0: no camera that gives pictures") and stderr.count("\n") == 1
    assert files_below(clips) == before


BAD_INPUT = {
    "missing path": (["nowhere"], "no such file or folder"),
    "empty folder": (["empty"], "found none"),
    "unknown kind": (["noise.onnx"], "got a .onnx file"),
    "cut-off image": (["cut"], "2.png: PNG is cut off"),
    "wrong dtype": (["mixed"], "2.png: expected amplitude"),
    "depth without intrinsics": (["depth", "--depth-unit-mm", "1"], "--intrinsics fx,fy,cx,cy"),
    "depth without unit": (["depth", "--intrinsics", INTRINSICS], "--depth-unit-mm"),
    "short intrinsics": (["grey", "--intrinsics", "1,2,3"], "expected four numbers"),
    "intrinsics not numbers": (["grey", "--intrinsics", "1,2,3,x"], "expected four numbers"),
    "negative focal length": (["grey", "--intrinsics=-1,1,1,1"], "positive focal lengths"),
    "fps of zero": (["grey", "--fps", "0"], "fps: expected a number above 0"),
    "broken recording": (["noise.zip"], "not a handfast recording"),
    "options to a recording": (["good.zip", "--fps", "30"], "drop these options"),
    "missing model": (["grey", "--model", "nowhere.onnx"], "nowhere.onnx"),
    "broken model": (["grey", "--model", "noise.onnx"], "noise.onnx"),
    "results into a file": (["grey", "--out", "noise.mp4"], "cannot be written"),
    "results below a file": (["grey", "--out", "noise.mp4/out"], "cannot be written"),
    "results into the source": (["grey", "--out", "grey"], "mix with the source"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(clips, capfd, monkeypatch, case):
    arguments, expected = BAD_INPUT[case]
    monkeypatch.chdir(clips)
    if "--model" not in arguments:
        monkeypatch.setattr("handfast.tracking.opening.Tracker", OneHandTracker)
    before = files_below(clips)
    code, stdout, stderr = run(capfd, monkeypatch, "track", "--out", "new/results", "--json", *arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: ") and stderr.count("\n") == 1
    assert expected in stderr
    assert files_below(clips) == before


def test_codecs_print_nothing_of_their_own(clips):
    """In a process of its own: FFmpeg writes to stderr past Python, and reads its settings once."""
    before = files_below(clips)
    clip = clips / "noise.mp4"
    command = [sys.executable, "-c", "from handfast.cli import main; main()"]
    arguments = ["track", str(clip), "--out", str(clips / "new")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {clip}: not a video") and done.stderr.count("\n") == 1
    assert files_below(clips) == before


CARD = SimpleNamespace(
    name="tofnet-tof8",
    parameters=41_000,
    macs=9_000_000,
    flops=18_000_000,
    early_out_macs=8_000_000,
    early_out_flops=16_000_000,
    loops=None,
    loop_macs=None,
    loop_flops=None,
    exit_rule=None,
    hand=None,
    gate=None,
    threshold=None,
    fine_macs=None,
    fine_flops=None,
    state_bytes=None,
    weight_bytes=164_000,
    input={"width": 160},
    receptive_field_px={"heatmaps": [377, 377], "visibility": [160, 120]},
)


def test_info(capfd, monkeypatch):
    asked = []

    def read_card(name):
        asked.append(name)
        return CARD

    monkeypatch.setattr("handfast.runtime.model.read_card", read_card)
    code, stdout, _ = run(capfd, monkeypatch, "info", "tofnet-tof8", "--json")
    assert code == 0
    facts = {name: value for name, value in vars(CARD).items() if name != "name"}
    assert json.loads(stdout.splitlines()[-1]) == {"model": "tofnet-tof8", **facts}
    code, stdout, _ = run(capfd, monkeypatch, "info")
    assert code == 0
    for expected in ("41,000", "18,000,000", "16,000,000", "heatmaps [377, 377]", "visibility [160, 120]"):
        assert expected in stdout
    assert asked == ["tofnet-tof8", "tofnet-hand21"]


def test_info_of_a_card_from_before_the_early_out(capfd, monkeypatch):
    """What it does not state is left out, and null in JSON."""
    later = dict.fromkeys(("early_out_macs", "early_out_flops", "receptive_field_px"))
    card = SimpleNamespace(**vars(CARD) | later)
    monkeypatch.setattr("handfast.runtime.model.read_card", lambda name: card)
    _, stdout, _ = run(capfd, monkeypatch, "info")
    assert "18,000,000" in stdout and "early_out" not in stdout and "None" not in stdout
    _, stdout, _ = run(capfd, monkeypatch, "info", "--json")
    assert later.items() <= json.loads(stdout).items()


def test_info_lists_the_layers_and_those_of_a_branch_under_its_title(capfd, monkeypatch):
    cost = Cost(
        (
            LayerCost("tier1.0.0", "Conv", (1, 16, 60, 80), 160, 691_200, 640),
            LayerCost("Relu", "Relu", (1, 16, 60, 80), 0, 0, 0),
            LayerCost("to_maps", "Conv", (1, 42, 30, 40), 2_730, 3_225_600, 10_920, "then"),
        )
    )
    monkeypatch.setattr("handfast.evaluation.cost.cost_of_file", lambda content: cost)
    _, stdout, _ = run(capfd, monkeypatch, "info", "--layers")
    first, title, second = stdout.splitlines()[-3:]
    assert first.split() == "tier1.0.0 Conv 16 x 60 x 80 160 691,200".split()
    assert title.strip() == "where a hand may be"
    assert second.split() == "to_maps Conv 42 x 30 x 40 2,730 3,225,600".split()
    _, stdout, _ = run(capfd, monkeypatch, "info", "--layers", "--json")
    layers = json.loads(stdout)["layers"]
    assert [(layer["name"], layer["branch"]) for layer in layers] == [("tier1.0.0", ""), ("to_maps", "then")]


def test_info_of_a_broken_model(clips, capfd, monkeypatch):
    code, stdout, stderr = run(capfd, monkeypatch, "info", clips / "noise.onnx")
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("model", "parameters", "gmacs"),
    [
        ("dense-2stack", 5_827_804, 4.87),
        ("dense-1stack", 2_923_902, 2.45),
        ("dense-1stack-l3", 2_870_142, 0.69),
    ],
)
def test_info_of_a_network_yet_to_be_trained(capfd, monkeypatch, model, parameters, gmacs):
    code, stdout, _ = run(capfd, monkeypatch, "info", model, "--joints", 14, "--json")
    assert code == 0
    facts = json.loads(stdout.splitlines()[-1])
    assert (facts["model"], facts["joints"], facts["parameters"]) == (model, 14, parameters)
    assert round(facts["macs"] / 1e9, 2) == gmacs and facts["flops"] == 2 * facts["macs"]


def test_info_of_joints_that_no_such_network_has(capfd, monkeypatch):
    for arguments in (("tofnet-tof8",), ("dense-1stack", "--layers")):
        code, stdout, stderr = run(capfd, monkeypatch, "info", *arguments, "--joints", 14)
        assert (code, stdout, stderr.count("\n")) == (2, "", 1)
        assert "--joints" in stderr


def test_demo_tracks_the_packaged_clip(clips, tmp_path, capfd, monkeypatch, one_hand_tracker):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "demo.zip").write_bytes((clips / "good.zip").read_bytes())
    monkeypatch.setattr("handfast.cli.resources.files", lambda package: tmp_path)
    monkeypatch.chdir(tmp_path)
    code, stdout, _ = run(capfd, monkeypatch, "demo", "--json")
    assert code == 0
    assert json.loads(stdout)["frames"] == 3
    assert (tmp_path / "out" / "demo" / "overlay.mp4").is_file()


def test_version_and_help(capfd, monkeypatch):
    assert run(capfd, monkeypatch, "--version")[:2] == (0, f"handfast {handfast.__version__}\n")
    code, stdout, _ = run(capfd, monkeypatch, "track", "--help")
    assert code == 0
    assert "Examples" in stdout and "--depth-unit-mm" in stdout
