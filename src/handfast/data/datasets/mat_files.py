"""MATLAB's .mat files, which some data sets keep their labels in."""

from pathlib import Path

import numpy as np
from scipy.io import loadmat

from handfast.data.datasets.samples import need_file
from handfast.errors import HandfastError


def load_mat(path: Path) -> dict[str, np.ndarray]:
    """The variables of a .mat file (MATLAB 4 to 7.2) by name.

    Raises HandfastError for a missing or broken file.
    """
    need_file(path, "labels as MATLAB saves them")
    try:
        variables = loadmat(path)
    except Exception as error:  # a broken file raises whatever its bytes lead to
        raise HandfastError(f"{path}: not a readable .mat file ({error}); unpack it again") from error
    return {name: value for name, value in variables.items() if not name.startswith("__")}
