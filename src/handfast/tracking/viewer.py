"""Hands in the viewer of Rerun (rerun.io) while they are followed: on the picture, in space, and how sure."""

import os
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from handfast.errors import HandfastError
from handfast.skeleton import Skeleton
from handfast.structures import Frame, HandPose
from handfast.tracking.drawing import colours_of, frame_as_picture

if TYPE_CHECKING:
    from rerun import RecordingStream

JPEG_QUALITY = 85
# Radii in pixels of the screen, however large the picture is shown, and in metres.
JOINT_ON_SCREEN, BONE_ON_SCREEN = 5.0, 2.0
JOINT_M, BONE_M = 0.004, 0.002


def open_viewer() -> "RecordingStream":
    """Start the viewer, or a new recording in the one that runs. Raises HandfastError without Rerun."""
    try:
        import rerun
        from rerun import blueprint
    except ImportError as error:
        raise HandfastError("Rerun is not installed; pip install 'handfast[live]'") from error
    stream = rerun.RecordingStream("handfast")
    try:
        with _own_programs_found():
            stream.spawn(hide_welcome_screen=True)
    except RuntimeError as error:
        first_line, *_ = str(error).splitlines() or [""]
        raise HandfastError(
            f"Rerun's viewer cannot be started: {first_line} See whether `rerun` starts by itself"
        ) from error
    views = blueprint.Horizontal(
        blueprint.Spatial2DView(origin="picture", name="picture"),
        blueprint.Vertical(
            blueprint.Spatial3DView(origin="space", name="space"),
            blueprint.TimeSeriesView(origin="score", name="score", axis_y=blueprint.ScalarAxis(range=(0, 1))),
        ),
        column_shares=[3, 2],
    )
    stream.send_blueprint(blueprint.Blueprint(views, collapse_panels=True))
    stream.log("space", rerun.ViewCoordinates.RDF, static=True)
    return stream


@contextmanager
def _own_programs_found() -> Iterator[None]:
    """While programs that came with Python packages are found though their environment is not activated."""
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = os.pathsep.join((sysconfig.get_path("scripts"), before))
    try:
        yield
    finally:
        os.environ["PATH"] = before


def shown(
    tracked: Iterable[tuple[Frame, list[HandPose]]], skeleton: Skeleton, stream: "RecordingStream"
) -> Iterator[tuple[Frame, list[HandPose]]]:
    """The same frames and hands; each is in the viewer before it is passed on.

    A hand has the number of its track. Joints are in space where the model tells them or depth does: from the
    camera, or else from the wrist.
    """
    import rerun

    before: set[int] = set()
    for frame, hands in tracked:
        stream.set_time("frame", sequence=frame.index)
        stream.set_time("time", duration=frame.time_s)
        picture = rerun.Image(frame_as_picture(frame)[..., ::-1])
        stream.log("picture", picture.compress(jpeg_quality=JPEG_QUALITY))
        now = {hand.track for hand in hands}
        for track in before - now:
            for place in ("picture", "space"):
                stream.log(f"{place}/hand_{track}", rerun.Clear(recursive=True))
        for hand in hands:
            _show(hand, skeleton, stream)
        before = now
        yield frame, hands


def _show(hand: HandPose, skeleton: Skeleton, stream: "RecordingStream") -> None:
    import rerun

    name = f"hand_{hand.track}"
    colours = colours_of(skeleton)[:, ::-1]
    on_picture = hand.keypoints_px + 0.5  # Rerun's pixels begin at integers
    bones = np.array(skeleton.edges)
    stream.log(
        f"picture/{name}/bones",
        rerun.LineStrips2D(
            on_picture[bones], colors=colours[bones[:, 1]], radii=rerun.Radius.ui_points(BONE_ON_SCREEN)
        ),
    )
    radii = rerun.Radius.ui_points(np.where(hand.visible, JOINT_ON_SCREEN, JOINT_ON_SCREEN / 2))
    stream.log(f"picture/{name}/joints", rerun.Points2D(on_picture, colors=colours, radii=radii))
    stream.log(f"score/{name}", rerun.Scalars(hand.score))
    in_space = hand.xyz_mm if hand.xyz_mm is not None else hand.relative_mm
    if in_space is None:
        return
    known = np.isfinite(in_space).all(axis=1)
    bones = bones[known[bones].all(axis=1)]
    in_space_m = in_space / 1000
    stream.log(
        f"space/{name}/bones",
        rerun.LineStrips3D(in_space_m[bones], colors=colours[bones[:, 1]], radii=BONE_M),
    )
    stream.log(
        f"space/{name}/joints", rerun.Points3D(in_space_m[known], colors=colours[known], radii=JOINT_M)
    )
