"""VGG-19 as a judge of pictures, with weights that the user has.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (ICLR 2015,
configuration E).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Mapping, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.errors import BadRequest
from kairos.weights.containers import Candidate, Container, open_container

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Width and number of the convolutions before each of the five halvings."""

JUDGED = 2
"""In each block the convolution whose answer, after its ReLU, is compared: conv1_2, 2_2, 3_2, 4_2 and 5_2."""

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures, red, green, blue in 0..1: what torchvision's weights are used to."""

FEATURES = "features."
"""What torchvision puts before the names of the convolutions."""

REMEDY = "Give torchvision's vgg19-dcbb9e9d.pth."


def shapes() -> Dict[str, Tuple[int, ...]]:
    """Names and shapes of the 16 convolutions' weights and biases, as torchvision numbers them."""
    found: Dict[str, Tuple[int, ...]] = {}
    place, inputs = 0, 3
    for width, count in BLOCKS:
        for _ in range(count):
            found[f"{FEATURES}{place}.weight"] = (width, inputs, 3, 3)
            found[f"{FEATURES}{place}.bias"] = (width,)
            # Behind it stands a ReLU, and behind the block what halves the size.
            place, inputs = place + 2, width
        place += 1
    return found


class Vgg19(nn.Module):
    """VGG-19 up to conv5_2, frozen, in float32.

    Args:
        weights: at least those of the convolutions up to there, by the names of :func:`shapes`.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        names, self._counts = list(shapes()), [count for _, count in BLOCKS]
        self._counts[-1] = JUDGED
        used = names[: 2 * sum(self._counts)]
        self.kernels = nn.ParameterList([weights[name].float() for name in used[::2]])
        self.biases = nn.ParameterList([weights[name].float() for name in used[1::2]])
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("spread", torch.tensor(SPREAD)[:, None, None])
        self.eval().requires_grad_(False)

    def forward(self, picture: Tensor) -> List[Tensor]:
        """The five blocks' features (B, C, H / 2^n, W / 2^n) of pictures (B, 3, H, W) in about 0..1, sides of at least
        16; always in float32.
        """
        found, layer = [], 0
        with torch.autocast(picture.device.type, enabled=False):
            planes = (picture.float() - self.mean) / self.spread
            for block, count in enumerate(self._counts):
                if block:
                    planes = F.max_pool2d(planes, 2)
                for number in range(1, count + 1):
                    planes = F.relu(F.conv2d(planes, self.kernels[layer], self.biases[layer], padding=1))
                    layer += 1
                    if number == JUDGED:
                        found.append(planes)
        return found


def load_vgg19(path: Path) -> Tuple[Vgg19, str]:
    """The network with the weights of a file, and the file's SHA-256.

    The file is torchvision's, or any other whose state dict has the 16 convolutions under torchvision's names, with or
    without ``features.``; what classifies is not read. Nothing in the file is run.

    Raises:
        BadRequest: it cannot be read, or holds no VGG-19; the message names what is missing.
    """
    trouble = ""
    with open_container(path) as container:
        for candidate in container.candidates:
            chosen, wrong = _chosen(candidate)
            if wrong:
                trouble = trouble or wrong
                continue
            return Vgg19(_read(container, chosen)), container.sha256
    raise BadRequest(f"{path} is no VGG-19: {trouble}.", REMEDY)


def _chosen(candidate: Candidate) -> Tuple[Candidate, str]:
    """The convolutions among a state dict, and what is wrong with it, empty where nothing is."""
    leaves = {}
    for name, shape in shapes().items():
        leaf = candidate.leaves.get(name, candidate.leaves.get(name.removeprefix(FEATURES)))
        if leaf is None:
            return candidate, f"{name} is missing"
        if tuple(leaf.shape) != shape:
            return candidate, f"{name} is {tuple(leaf.shape)} and not {shape}"
        leaves[name] = leaf
    return replace(candidate, leaves=leaves), ""


def _read(container: Container, candidate: Candidate) -> Dict[str, Tensor]:
    tensors = container.tensors(candidate)
    broken = next((name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())), "")
    if broken:
        raise BadRequest(f"{container.path} is no VGG-19: {broken} holds values that are not numbers.", REMEDY)
    return tensors
