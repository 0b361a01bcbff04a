"""ACE (Fan et al. 2020): a light encoder for most frames of a clip, a heavy one where a gate asks for it, and
an LSTM that makes poses of their features.

``AceNet`` has the gate, ``VanillaLstm`` is what table 1 compares it with. Both take any encoders that meet
``Encoder``; ``hourglass.HourglassEncoder`` is the paper's, ``tofnet_encoder.ToFNetEncoder`` a light one of
ours. Joints are relative to the wrist, in camera axes and centimetres: there Smooth L1 turns linear at 1 cm.

Where the text leaves a choice: the hidden state and its differences pass a ReLU where they have been "mapped
to a fixed dimension", without which that map and W_g would be one; the temporal gate, which has not seen the
coarse features, takes the fine ones unmixed.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from handfast.errors import HandfastError

OMEGA = 0.1
# Features stay within it. The Gaussian gate tells differences of OMEGA: were all guesses much farther off,
# its gradient would vanish.
FEATURE_RANGE = 3 * OMEGA
POSE_CM = 10.0  # how far joints are from the wrist
GATES = ("gaussian", "neural", "neural-temporal")
# G is kept so far from 0 and 1 that the logarithms of equation 9 are finite.
_MARGIN = 1e-6


class Encoding(NamedTuple):
    """What an encoder says of b images: heatmaps (b, K, h, w), None of an encoder without; joints_cm
    (b, K, 3); features (b, F), within ``FEATURE_RANGE`` of 0, for the Gaussian gate to tell near from far. Of
    clips, all with (b, T) in the place of b."""

    heatmaps: Tensor | None
    joints_cm: Tensor
    features: Tensor


class Encoder(Protocol):
    """A module that encodes images (b, C, S, S) of a kind that is its own affair, the same for a net.

    input_px: how wide the images are that it works on; of wider ones, by a whole factor, it sees the mean.
    joints: K. feature_size: F.
    """

    input_px: int
    joints: int
    feature_size: int

    def __call__(self, image: Tensor) -> Encoding: ...


class AceState(NamedTuple):
    """What is kept of b tracks, each (b, hidden): the LSTM's h and c after the last frame, its h one (h1) and
    two (h2) frames before. 4 KiB a track of 256 float32."""

    h: Tensor
    c: Tensor
    h1: Tensor
    h2: Tensor

    def history(self) -> tuple[Tensor, Tensor, Tensor]:
        """h and its first and second difference (equations 5 and 6)."""
        return self.h, self.h - self.h1, (self.h - self.h1) - (self.h1 - self.h2)


class AceOutput(NamedTuple):
    """Of b clips of T frames. encodings: the coarse and the fine encoder's, or those of the encoders there
    are. joints_cm (b, T, K, 3): the LSTM's. z_fine (b, T): the weight of the fine features, None without a
    gate."""

    encodings: tuple[Encoding, ...]
    joints_cm: Tensor
    z_fine: Tensor | None


class PoseLstm(nn.Module):
    """Equations 3 and 4: features (b, F) and state -> joints_cm (b, K, 3) and state."""

    def __init__(self, features: int, hidden: int, joints: int) -> None:
        super().__init__()
        self.joints = joints
        self.cell = nn.LSTMCell(features, hidden)
        self.pose = nn.Linear(hidden, 3 * joints)
        # Weights that grow from the usual ones to what small features and centimetres ask for take most of a
        # training.
        with torch.no_grad():
            self.cell.weight_ih.div_(FEATURE_RANGE)
            self.pose.weight.mul_(POSE_CM)

    def initial_state(self, tracks: int) -> AceState:
        """That of tracks which have just begun."""
        zeros = self.pose.weight.new_zeros(tracks, self.cell.hidden_size)
        return AceState(zeros, zeros, zeros, zeros)

    def forward(self, features: Tensor, state: AceState) -> tuple[Tensor, AceState]:
        h, c = self.cell(features, (state.h, state.c))
        return self.pose(h).unflatten(1, (self.joints, 3)), AceState(h, c, state.h, state.h1)


class GaussianGate(nn.Module):
    """G_fine (b,) of how far the coarse features are from what the past lets expect (equations 7 and 8)."""

    sees_coarse = True

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.mapped = nn.ModuleList(nn.Linear(hidden, features) for _ in range(3))
        self.expected = nn.Linear(3 * features, features)

    def forward(self, state: AceState, coarse: Tensor) -> Tensor:
        mapped = [layer(part).relu() for layer, part in zip(self.mapped, state.history(), strict=True)]
        return 1 - gaussian_similarity(self.expected(torch.cat(mapped, dim=1)), coarse)


class NeuralGate(nn.Module):
    """G_fine (b,) of a linear layer (section 4.4, table 3): of the past and, if it sees them, of the coarse
    features."""

    def __init__(self, features: int, hidden: int, sees_coarse: bool) -> None:
        super().__init__()
        self.sees_coarse = sees_coarse
        self.score = nn.Linear(3 * hidden + (features if sees_coarse else 0), 1)

    def forward(self, state: AceState, coarse: Tensor | None) -> Tensor:
        seen = (*state.history(), coarse) if self.sees_coarse else state.history()
        return self.score(torch.cat(seen, dim=1)).sigmoid().squeeze(1)


class AceNet(nn.Module):
    """coarse, fine: the two encoders, of as many joints and features. gate: one of ``GATES``. features: what
    both hand over, hidden: of the LSTM.

    Raises HandfastError for encoders that do not go together, and for another gate.
    """

    def __init__(
        self, coarse: Encoder, fine: Encoder, gate: str, features: int = 256, hidden: int = 256
    ) -> None:
        super().__init__()
        joints = _joints_of((coarse, fine), features)
        if gate not in GATES:
            raise HandfastError(f"gate: expected one of {', '.join(GATES)}, got {gate}")
        self.coarse, self.fine = coarse, fine
        self.lstm = PoseLstm(features, hidden, joints)
        if gate == "gaussian":
            self.gate = GaussianGate(features, hidden)
        else:
            self.gate = NeuralGate(features, hidden, sees_coarse=gate == "neural")

    def initial_state(self, tracks: int) -> AceState:
        return self.lstm.initial_state(tracks)

    def forward(
        self, clip: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> AceOutput:
        """Training: clip (b, T, ...) of images -> both encoders' poses of all frames, and the LSTM's, the
        features mixed as drawn (equation 11). temperature: tau."""
        coarse, fine = _encode(self.coarse, clip), _encode(self.fine, clip)
        noise = gumbel_noise((*clip.shape[:2], 2), generator).to(clip.device)
        state, joints_cm, z_fine = self.initial_state(len(clip)), [], []
        for t in range(clip.shape[1]):
            g_fine = self.gate(state, coarse.features[:, t])
            z = gumbel_softmax(g_fine, noise[:, t], temperature)
            mixed = mix_features(z, coarse.features[:, t], fine.features[:, t])
            joints_cm_t, state = self.lstm(mixed, state)
            joints_cm.append(joints_cm_t)
            z_fine.append(z)
        return AceOutput((coarse, fine), torch.stack(joints_cm, 1), torch.stack(z_fine, 1))

    def step(self, image: Tensor, state: AceState, threshold: float) -> tuple[Tensor, AceState, Tensor]:
        """Inference: the next image (b, ...) of each of b tracks -> joints_cm (b, K, 3), state, and for which
        tracks the fine encoder ran, (b,) bool: those with G_fine > threshold, the paper's lambda.

        An encoder runs on the images that ask for it, and not at all if none does.
        """
        coarse = self.coarse(image).features if self.gate.sees_coarse else None
        g_fine = self.gate(state, coarse)
        uses_fine = g_fine > threshold
        if coarse is None:
            features = state.h.new_empty(len(image), self.coarse.feature_size)
            if not uses_fine.all():
                features[~uses_fine] = self.coarse(image[~uses_fine]).features
        else:
            features = coarse.clone()
        if uses_fine.any():
            fine = self.fine(image[uses_fine]).features
            features[uses_fine] = (
                fine if coarse is None else mix_features(g_fine[uses_fine], coarse[uses_fine], fine)
            )
        joints_cm, state = self.lstm(features, state)
        return joints_cm, state, uses_fine


class VanillaLstm(nn.Module):
    """The LSTM without a gate (table 1): on the features of one encoder, or on the mean of several's."""

    def __init__(self, encoders: Sequence[Encoder], features: int = 256, hidden: int = 256) -> None:
        super().__init__()
        joints = _joints_of(encoders, features)
        self.encoders = nn.ModuleList(encoders)
        self.lstm = PoseLstm(features, hidden, joints)

    def initial_state(self, tracks: int) -> AceState:
        return self.lstm.initial_state(tracks)

    def forward(self, clip: Tensor) -> AceOutput:
        """As of ``AceNet``."""
        encodings = tuple(_encode(encoder, clip) for encoder in self.encoders)
        features = torch.stack([encoding.features for encoding in encodings]).mean(0)
        state, joints_cm = self.initial_state(len(clip)), []
        for features_t in features.unbind(1):
            joints_cm_t, state = self.lstm(features_t, state)
            joints_cm.append(joints_cm_t)
        return AceOutput(encodings, torch.stack(joints_cm, 1), None)

    def step(self, image: Tensor, state: AceState) -> tuple[Tensor, AceState]:
        """As of ``AceNet``: every encoder runs."""
        features = torch.stack([encoder(image).features for encoder in self.encoders]).mean(0)
        return self.lstm(features, state)


def gaussian_similarity(expected: Tensor, coarse: Tensor) -> Tensor:
    """G_coarse (b,) of features (b, F) (equation 8): 1 where both are the same, 0 far apart."""
    return torch.exp(-((expected - coarse).float() / OMEGA).square()).mean(1)


def gumbel_noise(shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Draws of Gumbel's distribution (section 3.4), on the generator's device."""
    device = None if generator is None else generator.device
    uniform = torch.rand(shape, generator=generator, device=device).clamp(min=1e-20)
    return -torch.log(-torch.log(uniform))


def gumbel_softmax(g_fine: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """z_fine (b,) of G_fine (b,) and noise (b, 2) of coarse and fine (equations 9 and 10)."""
    g_fine = g_fine.float().clamp(_MARGIN, 1 - _MARGIN)
    pi = -torch.log(1 - torch.stack([1 - g_fine, g_fine], dim=1))
    return torch.softmax((noise + pi.log()) / temperature, dim=1)[:, 1]


def adaptive_macs(coarse: float, fine: float, recurrent: float, p_fine: float, sees_coarse: bool) -> float:
    """Multiply-accumulates a frame, of what ran: coarse and fine encoder, LSTM with gate, the share of frames
    with the fine encoder, and whether the gate needs the coarse one in these as well."""
    return (1 if sees_coarse else 1 - p_fine) * coarse + p_fine * fine + recurrent


def mix_features(weight_fine: Tensor, coarse: Tensor, fine: Tensor) -> Tensor:
    """Features (b, F) of both encoders, by G_fine or z_fine (b,) (equation 11)."""
    return (1 - weight_fine)[:, None] * coarse + weight_fine[:, None] * fine


def _encode(encoder: Encoder, clip: Tensor) -> Encoding:
    """All frames of (b, T, ...) at once."""
    encoding = encoder(clip.flatten(0, 1))
    return Encoding(*(None if part is None else part.unflatten(0, clip.shape[:2]) for part in encoding))


def _joints_of(encoders: Sequence[Encoder], features: int) -> int:
    """K; HandfastError unless the encoders go together."""
    sizes = [(getattr(one, "joints", None), getattr(one, "feature_size", None)) for one in encoders]
    if not sizes or None in sizes[0] or set(sizes) != {(sizes[0][0], features)}:
        raise HandfastError(
            f"encoders: expected the same joints and {features} features of each, got (joints, feature_size) "
            f"= {', '.join(map(str, sizes)) or 'no encoder'}"
        )
    return sizes[0][0]
