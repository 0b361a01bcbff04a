"""What goes to Rerun's viewer, which need not be installed: it is played by what notes it."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from handfast.errors import HandfastError
from handfast.skeleton import HAND21
from handfast.structures import Frame, HandPose
from handfast.tracking.viewer import open_viewer, shown


class Noted:
    """One of Rerun's archetypes: what it was made of."""

    def __init__(self, *values, **options):
        self.values, self.options = values, options

    def compress(self, jpeg_quality):
        return self


class Stream:
    """A recording that keeps what is logged: {path: [(frame, what)]}."""

    def __init__(self, *_):
        self.logged, self.now = {}, {}

    def set_time(self, timeline, sequence=None, duration=None):
        self.now[timeline] = duration if sequence is None else sequence

    def log(self, path, what, static=False):
        self.logged.setdefault(path, []).append((None if static else self.now["frame"], what))

    def frames(self, path):
        return [frame for frame, _ in self.logged.get(path, [])]


@pytest.fixture
def rerun(monkeypatch):
    names = ("Clear", "Image", "LineStrips2D", "LineStrips3D", "Points2D", "Points3D", "Scalars")
    module = SimpleNamespace(
        **{name: type(name, (Noted,), {}) for name in names},
        Radius=SimpleNamespace(ui_points=lambda radius: -np.asarray(radius)),
        RecordingStream=Stream,
    )
    monkeypatch.setitem(sys.modules, "rerun", module)
    return module


def hand(track, **fields):
    rng = np.random.default_rng(track)
    points_px = rng.uniform(0, 60, (21, 2))
    return HandPose("left", 0.75, points_px, rng.random(21) < 0.5, track=track, **fields)


def frame(index):
    colour = np.full((48, 64, 3), (200, 100, 0), np.uint8)
    return Frame(index, index / 10, colour=colour)


def test_frames_and_hands_pass_as_they_are_one_by_one(rerun):
    tracked = [(frame(0), [hand(1)]), (frame(1), [])]
    stream = Stream()
    for number, (seen, hands) in enumerate(shown(tracked, HAND21, stream)):
        assert seen is tracked[number][0] and hands is tracked[number][1]
        assert stream.frames("picture") == list(range(number + 1))


def test_a_hand_stays_until_it_is_gone(rerun):
    of_frames = [[hand(1)], [hand(1), hand(2)], [hand(2)], []]
    stream = Stream()
    list(shown(((frame(i), hands) for i, hands in enumerate(of_frames)), HAND21, stream))
    assert stream.frames("picture") == [0, 1, 2, 3] and stream.now == {"frame": 3, "time": 0.3}
    for track, seen, gone in ((1, [0, 1], 2), (2, [1, 2], 3)):
        assert stream.frames(f"picture/hand_{track}/joints") == seen
        assert stream.frames(f"picture/hand_{track}/bones") == stream.frames(f"score/hand_{track}") == seen
        for place in ("picture", "space"):
            ((at, what),) = stream.logged[f"{place}/hand_{track}"]
            assert at == gone and isinstance(what, rerun.Clear) and what.options == {"recursive": True}


def test_the_picture_is_in_colour_and_joints_are_at_the_middle_of_pixels(rerun):
    stream, pose = Stream(), hand(1)
    list(shown([(frame(0), [pose])], HAND21, stream))
    ((_, picture),) = stream.logged["picture"]
    assert tuple(picture.values[0][0, 0]) == (200, 100, 0)
    ((_, joints),) = stream.logged["picture/hand_1/joints"]
    np.testing.assert_array_equal(joints.values[0], pose.keypoints_px + 0.5)
    assert ((joints.options["radii"] == -5) == pose.visible).all()
    ((_, bones),) = stream.logged["picture/hand_1/bones"]
    assert bones.values[0].shape == (20, 2, 2)
    np.testing.assert_array_equal(bones.values[0][0], pose.keypoints_px[[0, 1]] + 0.5)  # wrist to thumb
    np.testing.assert_array_equal(bones.options["colors"][0], joints.options["colors"][1])
    ((_, score),) = stream.logged["score/hand_1"]
    assert score.values == (0.75,)


def test_in_space_is_what_is_known_in_metres(rerun):
    xyz_mm = np.random.default_rng(0).normal((0, 0, 400), 100, (21, 3))
    xyz_mm[8] = np.nan  # the index finger's tip
    relative_mm = np.nan_to_num(xyz_mm) - xyz_mm[0]
    poses = [hand(1, xyz_mm=xyz_mm), hand(2, relative_mm=relative_mm), hand(3)]
    stream = Stream()
    list(shown([(frame(0), poses)], HAND21, stream))
    ((_, joints),) = stream.logged["space/hand_1/joints"]
    np.testing.assert_allclose(joints.values[0], np.delete(xyz_mm, 8, axis=0) / 1000)
    assert len(joints.options["colors"]) == 20
    ((_, bones),) = stream.logged["space/hand_1/bones"]
    assert len(bones.values[0]) == len(bones.options["colors"]) == 19 and np.isfinite(bones.values[0]).all()
    ((_, joints),) = stream.logged["space/hand_2/joints"]
    np.testing.assert_allclose(joints.values[0], relative_mm / 1000)
    assert not [path for path in stream.logged if path.startswith("space/hand_3")]


def test_what_to_install_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(HandfastError, match=r"Rerun is not installed; pip install 'handfast\[live\]'"):
        open_viewer()


def test_the_real_one_takes_all_this(tmp_path, monkeypatch):
    rerun = pytest.importorskip("rerun")
    monkeypatch.setattr(rerun.RecordingStream, "spawn", lambda self, **_: self.save(tmp_path / "hands.rrd"))
    stream = open_viewer()
    of_frames = [[hand(1, xyz_mm=np.ones((21, 3)))], [hand(2, relative_mm=np.ones((21, 3)))], []]
    list(shown(((frame(i), hands) for i, hands in enumerate(of_frames)), HAND21, stream))
    stream.flush()
    content = (tmp_path / "hands.rrd").read_bytes()
    assert content.startswith(b"RRF") and len(content) > 2000


def test_a_viewer_that_does_not_start_is_one_line(monkeypatch):
    rerun = pytest.importorskip("rerun")

    def fails(self, **_):
        raise RuntimeError("no display")

    monkeypatch.setattr(rerun.RecordingStream, "spawn", fails)
    with pytest.raises(HandfastError, match="Rerun's viewer cannot be started: no display"):
        open_viewer()
