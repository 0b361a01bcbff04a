"""How far off the joints are that networks on crops of one hand find in space, as they run.

Hands are cut out by their labels, not where a tracker would look for them.
"""

from math import ceil

import numpy as np

from handfast.data.arrays import pack
from handfast.data.colour_clips import ClipBatches
from handfast.data.datasets.samples import Samples
from handfast.data.depth_batches import BenchFrames
from handfast.evaluation.metrics import joint_errors
from handfast.reproduce.parallel import Watch, on_every_core
from handfast.reproduce.predictions import find_joints
from handfast.runtime.ace import AceModel
from handfast.runtime.dense import DenseModel
from handfast.runtime.dirnet import RefinementModel


def errors_in_depth(model: DenseModel, samples: Samples, watch: Watch = iter) -> np.ndarray:
    """Of each joint in each frame of bench-depth: (n, J) mm. One that is not found counts as the crop's
    centre. Raises HandfastError for a shard that is not as it was made."""

    def errors_mm(index: int) -> np.ndarray:
        frames = BenchFrames(pack([samples[index]]))
        frame = frames[0]
        found_mm, _ = find_joints(model, frames, frame)
        return np.linalg.norm(found_mm - model.skeleton.select(frame.joints_mm), axis=-1)

    return np.stack(on_every_core(errors_mm, len(samples), watch))


def errors_in_clips(
    model: RefinementModel | AceModel, clips: ClipBatches, frames: int, watch: Watch = iter
) -> tuple[np.ndarray, np.ndarray]:
    """Of each joint in the first so many frames of clips, from the wrist: (n, K) mm; and what each frame took
    (n,): of DIR-Net its loops, of ACE whether the fine encoder ran. Clips are followed from their first
    frames."""

    def follow(clip: int) -> tuple[np.ndarray, np.ndarray]:
        shown = {name: of[0] for name, of in clips.batch(clip, 1).items()}
        length = min(clips.clip_frames, frames - clip * clips.clip_frames)
        found, state = [], None
        for image in shown["image"][:length]:
            estimate, state = model.step(image, state)
            found.append(estimate)
        found_mm = 1000 * np.stack([estimate.joints_m for estimate in found])
        taken = [each.effort for each in found]
        return joint_errors(found_mm, 1000 * shown["joints_m"][:length]), np.array(taken)

    parts = on_every_core(follow, ceil(frames / clips.clip_frames), watch)
    errors_mm, taken = zip(*parts, strict=True)
    return np.concatenate(errors_mm), np.concatenate(taken)
