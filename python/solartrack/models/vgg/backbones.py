"""The networks before the last layer, as plain data.

References
----------
Simonyan & Zisserman 2015, ICLR, arXiv:1409.1556 (VGG16, configuration D).
Tan & Le 2019, ICML, arXiv:1905.11946 (EfficientNet); its Lite variants (2020) leave out squeeze and
excitation, use ReLU6 instead of swish, and do not scale the first convolution and the last one.
"""

from dataclasses import dataclass

__all__ = ["BACKBONES", "Backbone", "EfficientNetLite", "Stage", "Vgg"]


@dataclass(frozen=True)
class Vgg:
    """Blocks of 3 x 3 convolutions, each block ended by a 2 x 2 max pooling.

    Attributes
    ----------
    blocks : tuple of tuple of int
        Filters of each convolution.
    dense : tuple of int
        Units of the dense layers ``fc1``, ``fc2``; without any, the last block is averaged over the image.

    Examples
    --------
    >>> from solartrack.models.vgg.backbones import Vgg
    >>> Vgg(blocks=((8,), (16, 16)), dense=()).blocks
    ((8,), (16, 16))
    """

    blocks: tuple[tuple[int, ...], ...]
    dense: tuple[int, ...] = ()


@dataclass(frozen=True)
class Stage:
    """Inverted residual blocks of the same width; `stride` is that of the first one.

    Examples
    --------
    >>> from solartrack.models.vgg.backbones import BACKBONES
    >>> BACKBONES["efficientnet-lite0"].body.stages[0]
    Stage(repeats=1, kernel=3, stride=1, expand=1, filters=16)
    """

    repeats: int
    kernel: int
    stride: int
    expand: int
    filters: int


@dataclass(frozen=True)
class EfficientNetLite:
    """A convolution of stride 2, stages of inverted residual blocks, a 1 x 1 convolution, the average.

    Attributes
    ----------
    stages : tuple of Stage
    stem, top : int
        Filters of the first and of the last convolution.

    Examples
    --------
    >>> from solartrack.models.vgg.backbones import BACKBONES
    >>> body = BACKBONES["efficientnet-lite0"].body
    >>> len(body.stages), body.stem, body.top
    (7, 32, 1280)
    """

    stages: tuple[Stage, ...]
    stem: int
    top: int


@dataclass(frozen=True)
class Backbone:
    """A network before its last layer.

    Attributes
    ----------
    side : int
        Rows and columns of its input.
    body : Vgg or EfficientNetLite
    scale : float
    offsets : tuple of float
        Preprocessing of its three channels: ``scale * v + offset`` of a grey value v, 0 to 255.

    Examples
    --------
    >>> from solartrack.models.vgg.backbones import BACKBONES
    >>> BACKBONES["vgg16"].side, BACKBONES["vgg16"].body.blocks[0]
    (224, (64, 64))
    """

    side: int
    body: Vgg | EfficientNetLite
    scale: float
    offsets: tuple[float, float, float]


_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# Means of ImageNet; the channels are blue, green, red.
_CAFFE = (1.0, (-103.939, -116.779, -123.68))

#: Backbones by name.
BACKBONES: dict[str, Backbone] = {
    "vgg16": Backbone(224, Vgg(_VGG16, (4096, 4096)), *_CAFFE),  # as published
    "vgg16-trunk": Backbone(224, Vgg(_VGG16), *_CAFFE),  # the 13 convolutions, averaged
    "efficientnet-lite0": Backbone(
        224,
        EfficientNetLite(
            (
                Stage(1, 3, 1, 1, 16),
                Stage(2, 3, 2, 6, 24),
                Stage(2, 5, 2, 6, 40),
                Stage(3, 3, 2, 6, 80),
                Stage(3, 5, 1, 6, 112),
                Stage(4, 5, 2, 6, 192),
                Stage(1, 3, 1, 6, 320),
            ),
            stem=32,
            top=1280,
        ),
        1.0 / 128.0,
        (-127.0 / 128.0,) * 3,
    ),
    # For trials, not published.
    "vgg-small": Backbone(64, Vgg(((16,), (32,), (32,), (64,)), (64, 64)), *_CAFFE),
}
