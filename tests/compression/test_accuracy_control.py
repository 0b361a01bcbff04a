"""8 bits in OpenVINO: what is scored, and that joints stay where they are."""

import numpy as np
import pytest

from handfast.codecs.dense import DenseMaps, encode_joints
from handfast.compression import accuracy_control
from handfast.compression.accuracy_control import LabelledCrop, error_mm, labelled_crops
from handfast.errors import HandfastError
from handfast.evaluation.metrics import found_errors
from handfast.export.openvino import export_openvino
from handfast.runtime.dense import load_dense
from handfast.skeleton import NYU14


def test_crops_are_those_of_the_validation_split_over_and_over(depth_folder):
    labelled = labelled_crops(depth_folder, NYU14, 6)
    frames = 4  # of the fixture
    assert len(labelled) == 6 and labelled[0].joints_mm.shape == (14, 3)
    for first, again in zip(labelled, labelled[frames:], strict=False):
        assert np.array_equal(first.crop.depth, again.crop.depth)
    assert not np.array_equal(labelled[0].crop.depth, labelled[1].crop.depth)


def test_another_benchmark_is_refused(tof_folder):
    with pytest.raises(HandfastError, match="expected bench-depth, got bench-tof"):
        labelled_crops(tof_folder, NYU14, 1)


def test_errors_by_hand(depth_folder):
    (item,) = labelled_crops(depth_folder, NYU14, 1)
    maps = DenseMaps(*(kind[None] for kind in encode_joints(item.joints_mm, item.crop, 32)))
    none = maps._replace(heatmaps_3d=np.zeros_like(maps.heatmaps_3d))
    distances_mm = np.linalg.norm(item.joints_mm - item.crop.centre_mm, axis=-1)
    assert error_mm(none, item) == pytest.approx(distances_mm.mean())
    assert error_mm(maps, item) < error_mm(none, item) / 4
    moved = LabelledCrop(item.crop, item.joints_mm + np.array([0.0, 0.0, 300.0]))
    assert error_mm(maps, moved) > 250


def truths(items):
    return [item.joints_mm for item in items], [item.crop.centre_mm for item in items]


def test_8_bits_move_maps_little_in_a_quarter_of_the_room(dense_onnx, depth_folder, tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    monkeypatch.setattr(accuracy_control, "CALIBRATION_CROPS", 8)
    monkeypatch.setattr(accuracy_control, "VALIDATION_CROPS", 4)
    monkeypatch.setattr(accuracy_control, "HIGHEST_LOSS_MM", 1e3)
    floats = export_openvino(dense_onnx.read_bytes(), tmp_path / "fp32.xml", "fp32")
    integers = export_openvino(dense_onnx.read_bytes(), tmp_path / "int8.xml", "int8", depth_folder)
    assert integers["weight_bytes"] < 0.3 * floats["weight_bytes"]
    others = labelled_crops(depth_folder, NYU14, 12)[8:]
    for name, kind in (("floats", "fp32"), ("int8", "int8")):
        found_mm, _ = load_dense(tmp_path / f"{kind}.xml").joints([item.crop for item in others])
        errors_mm = [found_errors(*each) for each in zip(found_mm, *truths(others), strict=True)]
        assert integers["metrics"][f"crops_error_mm_{name}"] == pytest.approx(np.mean(errors_mm), rel=1e-4)
    depth = load_dense(dense_onnx).batch([item.crop for item in labelled_crops(depth_folder, NYU14, 2)])
    expected, found = (load_dense(tmp_path / f"{name}.xml").engine(depth) for name in ("fp32", "int8"))
    for right, own in zip(expected, found, strict=True):
        assert 0 < np.sqrt(np.mean((own - right) ** 2)) < 0.5 * right.std()
