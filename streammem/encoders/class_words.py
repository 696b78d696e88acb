"""The words of the ImageNet classes: names and WordNet definitions, read from timm's lists."""

from dataclasses import dataclass
from pathlib import Path

from streammem.errors import WeightsError


@dataclass(frozen=True, slots=True)
class ClassWords:
    """For each class, in the classifier's order: its names, best first, and its definition."""

    names: tuple[tuple[str, ...], ...]
    definitions: tuple[str, ...]

    def texts(self) -> list[str]:
        """Return what stands for each class before the sentence model: names and definition."""
        return [
            f"{', '.join(names)}: {definition}"
            for names, definition in zip(self.names, self.definitions, strict=True)
        ]


def read_class_words(synsets: Path, *, lemmas: Path, definitions: Path) -> ClassWords:
    """Read the order of the classes and, for all of WordNet's synsets there, their words."""
    order = _lines(synsets)
    lemma_of, definition_of = _table(lemmas), _table(definitions)
    try:
        return ClassWords(
            names=tuple(tuple(lemma_of[synset].split(", ")) for synset in order),
            definitions=tuple(definition_of[synset] for synset in order),
        )
    except KeyError as error:
        raise WeightsError(f"{lemmas} and {definitions} lack the synset {error}") from error


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"word list {path} cannot be read: {error}") from error


def _table(path: Path) -> dict[str, str]:
    pairs = (line.partition("\t") for line in _lines(path))
    return {synset: words for synset, _, words in pairs}
