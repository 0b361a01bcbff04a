"""Make the time-of-flight clip that the package ships (all synthetic).

    python scripts/make_demo_clip.py [OUT.zip]

Two hands before a time-of-flight camera above a desk: both move and change their pose.
"""

import sys
from pathlib import Path

import numpy as np

from handfast.data.meshes import join
from handfast.data.scenes import (
    Person,
    Scene,
    place_hand,
    sample_person,
    sample_surroundings,
)
from handfast.data.synthesis import SENSORS, World, make_world, observe
from handfast.geometry import Camera, rotation_from_axis_angle
from handfast.hand_model.pose_prior import sample_motion
from handfast.sensors.recordings import write_recording
from handfast.structures import Frame

SEED = 7
FRAMES, RATE_HZ = 48, 15.0
CAMERA = Camera(fx=168, fy=168, cx=91.5, cy=68.5, width=184, height=138)
# Fingers away and up, backs to the camera, turned inwards a little: hands as their owner sees them.
EGOCENTRIC = np.stack([[1.0, 0, 0], [0, -0.94, 0.34], [0, -0.34, -0.94]], axis=1)
REACH_MM = 1200  # farther depth is left out, as a short-range sensor would


def sway(time_s: float, phase: float, size_m: float) -> np.ndarray:
    """A slow loop in front of the camera."""
    turn = 2 * np.pi * time_s / 2.8 + phase
    return size_m * np.array([np.sin(turn), 0.6 * np.cos(0.8 * turn), 0.7 * np.sin(0.6 * turn + 1)])


def render(world: World, person: Person) -> list[Frame]:
    """The frames of the clip."""
    rng = np.random.default_rng(SEED)
    motion = {side: sample_motion(world.prior, rng, FRAMES, RATE_HZ) for side in ("left", "right")}
    home = {"left": np.array([-0.11, 0.03, 0.46]), "right": np.array([0.11, 0.02, 0.43])}
    surroundings = sample_surroundings(rng, CAMERA, 0.5, "desk", 4, ())
    plain = np.ones((1, 400, 500), np.float32)
    frames = []
    for i in range(FRAMES):
        time_s = i / RATE_HZ
        hands, meshes = [], list(surroundings)
        for side, inwards in (("left", 0.25), ("right", -0.25)):
            turn = np.array(
                [0.1, 0.5 * np.sin(1.7 * time_s + inwards), inwards + 0.25 * np.sin(2.1 * time_s)]
            )
            rotation = rotation_from_axis_angle(turn) @ EGOCENTRIC
            centre = home[side] + sway(time_s, 2.0 * (side == "left"), 0.035)
            angles = motion[side][i]
            hand, mesh = place_hand(world.asset, person, side, angles, 8, rotation, centre)
            hands.append(hand)
            meshes.append(mesh)
        scene = Scene(CAMERA, join(meshes), tuple(hands))
        # Plain surfaces: textures are drawn anew for each frame and would flicker.
        sample = observe(scene, SENSORS[1], plain, np.random.default_rng([SEED, i]), i, time_s)
        depth = np.where(sample.frame.depth > REACH_MM, 0, sample.frame.depth).astype(np.uint16)
        frames.append(Frame(i, time_s, sample.frame.amplitude, depth, 1.0, CAMERA))
    return frames


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "src/handfast/assets/demo.zip")
    world = make_world(SEED)
    write_recording(out, render(world, sample_person(np.random.default_rng(SEED))))
    print(f"{out}: {FRAMES} frames, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
