"""FreiHAND: right hands of 32 people before a green screen, with and without objects.

Zimmermann et al. 2019, "FreiHAND: A Dataset for Markerless Capture of Hand Pose and Shape from Single RGB
Images" (ICCV); home page below, research only. The folder (FreiHAND_pub_v2) holds, 224 x 224 pixels each,

    training/rgb/00000000.jpg    130 240 pictures: 32 560 as recorded, then the same three times more with
                                 other backgrounds, in the same order: picture i has label i mod 32 560
    evaluation/rgb/00000000.jpg  3 960 pictures of other scenes, one each
    training_K.json, training_xyz.json, training_verts.json
                                 lists of 3 x 3, 21 x 3 and 778 x 3 numbers; m in camera axes

and evaluation_*.json alike; evaluation_xyz.json and evaluation_verts.json came out later, in
FreiHAND_pub_v2_eval.zip, to be put beside the others. Joints are in our order already; fingertips are
vertices of MANO. All hands are right ones. Version 1 has no _verts.json: then vertices_m is None.

training/mask is not read: it sets off what stands before the green screen. Whether that leaves arms and
objects out, as our segmentation does, could not be verified; nor that pixel centres lie at integers.
"""

from pathlib import Path

from handfast.data.datasets.json_matrices import JsonMatrices
from handfast.data.datasets.reading import camera_from_matrix, hand_label, label_array, read_colour
from handfast.data.datasets.samples import DataSet, Samples, check_split, need_file
from handfast.errors import HandfastError
from handfast.structures import Frame, HandSample

_SHAPE = (224, 224)
_SPLITS = {"training": 130_240, "evaluation": 3_960}
_PICTURES_A_LABEL = {"training": 4, "evaluation": 1}
_VERTICES = 778


def open_freihand(folder: Path, split: str) -> Samples:
    """The samples of a split: hand21 and the skin's vertices.

    Raises HandfastError for an unknown split, and for missing or broken files.
    """
    check_split(split, _SPLITS)
    cameras = JsonMatrices(need_file(folder / f"{split}_K.json", "the intrinsic matrices"))
    count = len(cameras)
    later = "the joints; those of the evaluation split come in FreiHAND_pub_v2_eval.zip"
    joints = JsonMatrices(need_file(folder / f"{split}_xyz.json", later), count)
    vertices = JsonMatrices(folder / f"{split}_verts.json", count)
    has_vertices = vertices.path.is_file()
    keys = tuple(f"{split}/rgb/{i:08d}.jpg" for i in range(count * _PICTURES_A_LABEL[split]))
    # Telling by the last picture is cheaper than listing a hundred thousand.
    need_file(folder / keys[-1], f"the last of the {len(keys)} pictures that {cameras.path.name} asks for")
    if (folder / split / "rgb" / f"{len(keys):08d}.jpg").exists():
        raise HandfastError(
            f"{cameras.path}: it has {count} entries, but there are more than {len(keys)} pictures"
        )

    def read(index: int) -> HandSample:
        row = index % count
        camera = camera_from_matrix(cameras[row], _SHAPE, f"{cameras.path}: entry {row}")
        frame = Frame(index, 0.0, camera=camera, colour=read_colour(folder / keys[index], _SHAPE))
        points_m = label_array(joints[row], (21, 3), f"{joints.path}: entry {row}")
        skin_m = None
        if has_vertices:
            skin_m = label_array(vertices[row], (_VERTICES, 3), f"{vertices.path}: entry {row}")
        where = f"{joints.path}: entry {row}"
        return HandSample(frame, (hand_label(where, camera, points_m, "right", vertices_m=skin_m),))

    return Samples(keys, read)


FREIHAND = DataSet(
    title="FreiHAND",
    homepage="https://lmb.informatik.uni-freiburg.de/projects/freihand/",
    licence="research only, no commercial use",
    splits=_SPLITS,
    open=open_freihand,
)
