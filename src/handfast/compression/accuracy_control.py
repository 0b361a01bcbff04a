"""Dense regression with 8-bit integers wherever its joints stay where they are, by nncf's accuracy control.

Needs the extra ``openvino``.
"""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from handfast.codecs.dense import DenseMaps, decode_joints
from handfast.data.depth_batches import open_as_taken
from handfast.evaluation.metrics import found_errors
from handfast.sensors.depth_crop import CROP_PX, DepthCrop
from handfast.skeleton import Skeleton
from handfast.training.dense_regression import crops_of

if TYPE_CHECKING:
    import openvino

CALIBRATION_CROPS, VALIDATION_CROPS = 300, 300
# What 8 bits may add to the mean error of the joints.
HIGHEST_LOSS_MM = 0.2
IN_FLOATS = {"INFERENCE_PRECISION_HINT": "f32"}  # some processors would take 16 bits


class LabelledCrop(NamedTuple):
    """joints_mm: (J, 3) in camera space."""

    crop: DepthCrop
    joints_mm: np.ndarray


def quantise_dense(
    model: "openvino.Model", skeleton: Skeleton, folder: Path
) -> tuple["openvino.Model", dict[str, float]]:
    """Calibrated on 300 crops of the split validation of a bench-depth in ``folder``; the layers that cost
    most go back to floats until the mean error in 300 others (the same where there are fewer) is at most
    0.2 mm above that of ``model``; -> the network, and these errors before and after.

    Raises ImportError without nncf, and HandfastError as ``labelled_crops`` does.
    """
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    labelled = labelled_crops(folder, skeleton, CALIBRATION_CROPS + VALIDATION_CROPS)
    stride = CROP_PX // model.input().partial_shape[3].get_length()

    def as_input(item: LabelledCrop) -> np.ndarray:
        return item.crop.depth[None, None, ::stride, ::stride]

    def score(compiled: Callable, items: Iterable[LabelledCrop]) -> tuple[float, list[float]]:
        scores = []
        for item in items:
            found = compiled(as_input(item))
            scores.append(-error_mm(DenseMaps(*(found[name] for name in DenseMaps._fields)), item))
        return float(np.mean(scores)), scores

    others = labelled[CALIBRATION_CROPS:]
    quantised = nncf.quantize_with_accuracy_control(
        model,
        nncf.Dataset(labelled[:CALIBRATION_CROPS], as_input),
        nncf.Dataset(others, as_input),
        score,
        max_drop=HIGHEST_LOSS_MM,
        drop_type=nncf.DropType.ABSOLUTE,
        subset_size=CALIBRATION_CROPS,
    )
    compiled = [openvino.compile_model(each, "CPU", IN_FLOATS) for each in (model, quantised)]
    before_mm, after_mm = (-score(each, others)[0] for each in compiled)
    return quantised, {"crops_error_mm_floats": before_mm, "crops_error_mm_int8": after_mm}


def labelled_crops(folder: Path, skeleton: Skeleton, count: int) -> list[LabelledCrop]:
    """The first crops of the split validation, from the first on again where there are fewer. Raises
    HandfastError when they are missing or broken, and for another benchmark."""
    batch = open_as_taken(folder, "validation").batch(0, count)
    return list(map(LabelledCrop, crops_of(batch), skeleton.select(batch["joints_mm"])))


def error_mm(maps: DenseMaps, item: LabelledCrop) -> float:
    """The mean error of the joints that maps (1, J, ...) show. One that is not found counts as the middle."""
    found_mm, _ = decode_joints(maps, [item.crop])
    return float(found_errors(found_mm[0], item.joints_mm, item.crop.centre_mm).mean())
