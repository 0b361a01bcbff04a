"""The commands that track: what they find and write, and one line for what is wrong."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from handfast.data.benchmarks import BENCH_RGB
from handfast.geometry import Camera
from handfast.runtime.native import COMPILERS
from handfast.skeleton import HAND21
from track_fixtures import OneHandTracker, files_below

INTRINSICS = "300,300,15.5,11.5"
FASTEST = "c" if any(map(shutil.which, COMPILERS)) else "onnxruntime"


def test_track_prints_a_summary_and_where_the_results_are(
    clips, tmp_path, handfast_command, one_hand_tracker
):
    code, stdout, stderr = handfast_command("track", clips / "grey", "--out", tmp_path / "out")
    assert (code, stderr) == (0, "")
    for expected in ("hands.jsonl", "overlay.mp4", "contact_sheet.png", "4 (3 left, 1 right)", "frames/s"):
        assert expected in stdout
    assert files_below(tmp_path / "out") == {"hands.jsonl", "overlay.mp4", "contact_sheet.png"}


def test_track_json_is_the_last_line(clips, tmp_path, handfast_command, one_hand_tracker):
    out = tmp_path / "out"
    code, stdout, stderr = handfast_command(
        "track", clips / "cut", "--out", out, "--skip-bad-frames", "--json"
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
        "backend": FASTEST,
        "out": str(out),
        "outputs": [str(out / name) for name in ("hands.jsonl", "overlay.mp4", "contact_sheet.png")],
    }
    assert stderr.startswith("skipped: 2.png: ") and stderr.count("\n") == 1


@pytest.fixture(scope="module")
def colour_clip(tmp_path_factory):
    """Six frames of a rendered hand, as PNGs."""
    folder = tmp_path_factory.mktemp("colour")
    world = BENCH_RGB.make_world(BENCH_RGB.seed)
    for i, sample in enumerate(islice(BENCH_RGB.clip(world, "test", 0), 6)):
        cv2.imwrite(str(folder / f"{i}.png"), sample.frame.colour[..., ::-1])
    return folder


@pytest.mark.parametrize(("model", "effort"), [("ace", "fine encoder, a hand"), ("dirnet", "loops, a hand")])
def test_a_colour_clip_from_end_to_end(colour_clip, tmp_path, handfast_command, model, effort):
    """With the packaged finder and networks."""
    out = tmp_path / "out"
    code, stdout, stderr = handfast_command("track", colour_clip, "--out", out, "--model", model)
    assert (code, stderr) == (0, "") and effort in stdout
    assert f"led by tofnet-rgb ({FASTEST})" in " ".join(stdout.split())
    records = [json.loads(line) for line in (out / "hands.jsonl").read_text().splitlines()]
    hands = [hand for record in records for hand in record["hands"]]
    assert len(hands) >= 5  # as of six frames
    for hand in hands:
        relative_mm = np.array(hand["relative_mm"])
        assert relative_mm.shape == (21, 3) and 60 < np.linalg.norm(relative_mm, axis=1).max() < 300


@pytest.mark.skipif(FASTEST != "c", reason="no C compiler on this machine")
def test_what_leads_to_the_hands_runs_as_c_and_compiling_is_said(colour_clip, tmp_path):
    """As a program of its own, whose notes go where a user's do."""
    command = [sys.executable, "-m", "handfast", "track", colour_clip, "--out", tmp_path / "out"]
    command += ["--model", "dirnet", "--frames", "1", "--json"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["finder"], summary["finder_backend"], summary["hands"]) == ("tofnet-rgb", "c", 1)
    assert done.stderr == "compiling tofnet_rgb.c for this processor, which is done once\n"


def test_the_gate_is_told_what_to_do(colour_clip, tmp_path, handfast_command):
    for gate, expected in (("0", 1.0), ("1", 0.0)):
        code, stdout, _ = handfast_command(
            "track", colour_clip, "--out", tmp_path / gate, "--model", "ace", "--gate", gate, "--json"
        )
        summary = json.loads(stdout)
        assert (code, summary["effort"]) == (0, expected)
        assert (summary["finder"], summary["finder_backend"]) == ("tofnet-rgb", FASTEST)
    code, _, stderr = handfast_command(
        "track", colour_clip, "--out", tmp_path / "b", "--model", "tofnet-rgb", "--gate", "0.3"
    )
    assert (code, stderr) == (
        2,
        "error: gate '0.3': model tofnet-rgb has none, as dirnet and ace have\n",
    )
    assert not (tmp_path / "b").exists()


def test_track_depth_with_its_options(clips, tmp_path, handfast_command, monkeypatch):
    seen = []

    class Tracker(OneHandTracker):
        def track(self, source):
            seen.append((self.model.name, self.model.backend))
            for frame, hands in super().track(source):
                seen.append(frame)
                yield frame, hands

    monkeypatch.setattr("handfast.tracking.opening.Tracker", Tracker)
    monkeypatch.setattr(
        "handfast.tracking.opening.open_network",
        lambda name, backend, gate: SimpleNamespace(
            name=name, backend=backend, card=SimpleNamespace(family="tofnet", in_colour=False, input={})
        ),
    )
    options = ["--intrinsics", INTRINSICS, "--depth-unit-mm", "0.25", "--fps", "10"]
    options += ["--model", "tofnet-tof8", "--backend", "c"]
    code, _, _ = handfast_command("track", clips / "depth", "--out", tmp_path / "out", *options)
    assert code == 0
    model, *frames = seen
    assert model == ("tofnet-tof8", "c")
    assert [frame.time_s for frame in frames] == [0.0, 0.1, 0.2, 0.3]
    assert {frame.depth_unit_mm for frame in frames} == {0.25}
    assert {frame.camera for frame in frames} == {Camera(300, 300, 15.5, 11.5, width=32, height=24)}


def test_grey_pictures_of_three_channels_are_not_called_coloured(
    tmp_path, handfast_command, one_hand_tracker
):
    (tmp_path / "clip").mkdir()
    cv2.imwrite(str(tmp_path / "clip" / "0.png"), np.full((24, 32, 3), 90, np.uint8))
    code, stdout, stderr = handfast_command("track", tmp_path / "clip", "--out", tmp_path / "out", "--json")
    assert (code, stderr, json.loads(stdout)["model"]) == (0, "", "tofnet-hand21")


def test_hands_of_an_impossible_size_are_said(clips, tmp_path, handfast_command, monkeypatch):
    class Sized(OneHandTracker):
        wrong_size = 1.54

    monkeypatch.setattr("handfast.tracking.opening.Tracker", Sized)
    _, _, stderr = handfast_command("track", clips / "grey", "--out", tmp_path / "out")
    assert stderr == (
        "note: what looks like hands is 1.5 times as large as they are; check --depth-unit-mm and "
        "--intrinsics fx,fy,cx,cy\n"
    )


def test_fast_is_told_to_the_tracker(clips, tmp_path, handfast_command, monkeypatch):
    made = []

    class Noted(OneHandTracker):
        def __init__(self, model, fast):
            super().__init__(model, fast)
            made.append(fast)

    monkeypatch.setattr("handfast.tracking.opening.Tracker", Noted)
    for options in ([], ["--fast"]):
        assert handfast_command("track", clips / "grey", "--out", tmp_path / "out", *options)[0] == 0
    assert made == [False, True]


def test_what_is_skipped_is_said_even_if_nothing_is_left(tmp_path, handfast_command, one_hand_tracker):
    (tmp_path / "clip").mkdir()
    picture = cv2.imencode(".png", np.zeros((24, 32), np.uint8))[1].tobytes()
    (tmp_path / "clip" / "0.png").write_bytes(picture[:-20])
    arguments = ["track", tmp_path / "clip", "--out", tmp_path / "out", "--skip-bad-frames"]
    code, _, stderr = handfast_command(*arguments)
    assert code == 2 and stderr.startswith("skipped: 0.png: PNG is cut off")
    assert stderr.count("\n") == 2 and "error: expected one frame or more" in stderr


def test_16_bit_infrared(tmp_path, handfast_command, one_hand_tracker):
    (tmp_path / "clip").mkdir()
    picture = np.random.default_rng(0).integers(0, 4095, (24, 32), np.uint16)
    cv2.imwrite(str(tmp_path / "clip" / "ir_7.png"), picture)
    arguments = ["track", tmp_path / "clip", "--out", tmp_path / "out"]
    code, _, stderr = handfast_command(*arguments)
    assert code == 2 and "--infrared" in stderr
    assert handfast_command(*arguments, "--infrared")[0] == 0
    record = json.loads((tmp_path / "out" / "hands.jsonl").read_text())
    assert (record["index"], record["file"]) == (0, "ir_7.png")


def test_hands_that_are_not_sure_enough_are_left_out(clips, tmp_path, handfast_command, monkeypatch):
    class Wavering(OneHandTracker):
        def track(self, source):
            for frame, (hand,) in super().track(source):
                yield frame, [replace(hand, score=(0.3, 0.5, 0.7, 0.49)[frame.index])]

    monkeypatch.setattr("handfast.tracking.opening.Tracker", Wavering)
    out = tmp_path / "out"
    code, stdout, _ = handfast_command("track", clips / "grey", "--out", out, "--min-score", "0.5", "--json")
    assert (code, json.loads(stdout)["hands"]) == (0, 2)
    records = [json.loads(line) for line in (out / "hands.jsonl").read_text().splitlines()]
    assert [[hand["score"] for hand in record["hands"]] for record in records] == [[], [0.5], [0.7], []]
    code, _, stderr = handfast_command("track", clips / "grey", "--out", out, "--min-score", "2")
    assert code == 2 and "--min-score" in stderr
    for option in ("--min-score", "--seconds"):
        code, _, stderr = handfast_command("track", clips / "grey", "--out", out, option, "nan")
        assert code == 2 and option in stderr


def test_track_the_beginning_of_a_clip(clips, tmp_path, handfast_command, one_hand_tracker):
    for options, frames in ((["--frames", "3"], 3), (["--seconds", "0.05"], 2), (["--frames", "9"], 4)):
        arguments = ["track", clips / "grey", "--out", tmp_path / "out", "--json", *options]
        code, stdout, _ = handfast_command(*arguments)
        assert (code, json.loads(stdout)["frames"]) == (0, frames)


def test_colour_that_a_model_does_not_see_is_said_once(colour_clip, tmp_path, handfast_command):
    options = ["--out", tmp_path / "a", "--frames", "2"]
    _, _, grey = handfast_command("track", colour_clip, *options, "--model", "tofnet-hand21")
    assert grey == (
        "note: these frames are in colour, which tofnet-hand21 sees as grey; for colour give --model "
        "tofnet-rgb, dirnet or ace\n"
    )
    for model in ([], ["--model", "ace"]):
        options = ["--out", tmp_path / "b", "--frames", "1", *model]
        assert handfast_command("track", colour_clip, *options)[2] == ""
    options = ["--out", tmp_path / "dense", "--model", "dense-hand21"]
    said = handfast_command("track", colour_clip, *options)[2]
    assert said.startswith("error: frame 0: model dense-hand21 needs depth")


def test_live_needs_its_viewer_before_anything_is_written(clips, tmp_path, handfast_command, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    code, _, stderr = handfast_command("track", clips / "grey", "--out", tmp_path / "out", "--live")
    assert (code, stderr) == (2, "error: Rerun is not installed; pip install 'handfast[live]'\n")
    assert not (tmp_path / "out").exists()


def test_live_shows_each_frame(clips, tmp_path, handfast_command, monkeypatch, one_hand_tracker):
    watched = []
    monkeypatch.setattr("handfast.tracking.viewer.open_viewer", lambda: "the viewer")
    monkeypatch.setattr(
        "handfast.tracking.viewer.shown",
        lambda tracked, skeleton, viewer: (
            watched.append((viewer, len(skeleton))) or each for each in tracked
        ),
    )
    monkeypatch.setattr(
        "handfast.tracking.opening.open_network",
        lambda *_: SimpleNamespace(
            card=SimpleNamespace(family="tofnet", in_colour=False, input={}), skeleton=HAND21, backend="c"
        ),
    )
    code, _, _ = handfast_command("track", clips / "grey", "--out", tmp_path / "out", "--live")
    assert code == 0 and watched == [("the viewer", 21)] * 4


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
    "negative focal length": (
        ["grey", "--intrinsics=-1,1,1,1"],
        "expected focal lengths of 3.2 to 640 px for images of 32 px, got -1,1",
    ),
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
def test_bad_input_is_one_line_and_exit_code_2(clips, handfast_command, monkeypatch, case):
    arguments, expected = BAD_INPUT[case]
    monkeypatch.chdir(clips)
    if "--model" not in arguments:
        monkeypatch.setattr("handfast.tracking.opening.Tracker", OneHandTracker)
    before = files_below(clips)
    code, stdout, stderr = handfast_command("track", "--out", "new/results", "--json", *arguments)
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


def test_demo_tracks_the_packaged_clip(clips, tmp_path, handfast_command, monkeypatch, one_hand_tracker):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "demo.zip").write_bytes((clips / "good.zip").read_bytes())
    monkeypatch.setattr("handfast.cli_track.resources.files", lambda package: tmp_path)
    monkeypatch.chdir(tmp_path)
    code, stdout, _ = handfast_command("demo", "--json")
    assert code == 0
    assert json.loads(stdout)["frames"] == 3
    assert (tmp_path / "out" / "demo" / "overlay.mp4").is_file()
