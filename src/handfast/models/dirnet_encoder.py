"""DIR-Net as an encoder of ACE: what it has understood of a crop after so many loops, as a vector.

Its heads stay behind, and the gate of its own; the tensors of the rest have the names that they have in
``dirnet``, so that a checkpoint of that starts an encoder. Unlike there all loops are normalised as the first
look is, by statistics that stay as they were: so they are one set of weights, also in an exported graph, and
a third of them is to be fetched where a frame needs the encoder once in a while.
"""

from torch import Tensor, nn

from handfast.errors import HandfastError
from handfast.models.ace import FEATURE_RANGE, Encoding
from handfast.models.dirnet import DIRNet
from handfast.models.layers import averaged_down

FIRST_LOOK = 0  # the loop whose normalisation all have


class DIRNetEncoder(nn.Module):
    """Image -> features and 3D joints of one hand, without heat-maps.

    input_px: width and height that it works on, a multiple of 32; larger images are averaged down to it.
    loops: how often it goes on after the first look, up to ``max_loops``. base_channels, max_loops: as of
    ``DIRNet``. Raises HandfastError for another size or number of loops.
    """

    def __init__(
        self,
        input_px: int,
        loops: int,
        base_channels: int = 16,
        max_loops: int = 5,
        joints: int = 21,
        feature_size: int = 256,
    ) -> None:
        super().__init__()
        if input_px < 32 or input_px % 32:
            raise HandfastError(f"input_px: expected a multiple of 32, got {input_px}")
        if not 0 <= loops <= max_loops:
            raise HandfastError(f"loops: expected 0..{max_loops}, got {loops}")
        self.input_px, self.loops = input_px, loops
        self.joints, self.feature_size = joints, feature_size
        net = DIRNet(base_channels, hidden=1, max_loops=max_loops)
        self.extractor, self.refiner = net.extractor, net.refiner
        self.feedback = net.feedback if loops else None
        self.to_features = nn.Sequential(
            nn.Linear(8 * base_channels, feature_size, bias=False), nn.BatchNorm1d(feature_size), nn.Tanh()
        )
        self.to_joints = nn.Linear(feature_size, 3 * joints)

    def train(self, mode: bool = True) -> "DIRNetEncoder":
        """What its convolutions are normalised by is never learned from batches."""
        super().train(mode)
        self.extractor.eval()
        self.refiner.eval()
        return self

    def forward(self, image: Tensor) -> Encoding:
        """image: (b, 3, S, S) float32, 0..1, S a multiple of input_px."""
        features = self.extractor(averaged_down(image, self.input_px))
        encoded = self.refiner(features, FIRST_LOOK)
        for _ in range(self.loops):
            encoded = self.refiner(self.feedback(features, encoded), FIRST_LOOK)
        summary = FEATURE_RANGE * self.to_features(encoded.mean(dim=(2, 3)))
        return Encoding(None, self.to_joints(summary).unflatten(1, (self.joints, 3)), summary)
