"""The public data sets by name."""

from handfast.data.datasets.bench import BENCHES
from handfast.data.datasets.coco import COCO
from handfast.data.datasets.fpha import FPHA
from handfast.data.datasets.freihand import FREIHAND
from handfast.data.datasets.ho3d import HO3D_V2, HO3D_V3
from handfast.data.datasets.icvl import ICVL
from handfast.data.datasets.interhand import INTERHAND
from handfast.data.datasets.msra15 import MSRA15
from handfast.data.datasets.nyu import NYU
from handfast.data.datasets.panoptic import PANOPTIC
from handfast.data.datasets.rhd import RHD
from handfast.data.datasets.samples import DataSet
from handfast.data.datasets.stb import STB

DATASETS: dict[str, DataSet] = {
    "nyu": NYU,
    "icvl": ICVL,
    "msra15": MSRA15,
    "fpha": FPHA,
    "freihand": FREIHAND,
    "ho3d_v2": HO3D_V2,
    "ho3d_v3": HO3D_V3,
    "rhd": RHD,
    "stb": STB,
    "interhand": INTERHAND,
    "panoptic": PANOPTIC,
    "coco": COCO,
    **BENCHES,
}
