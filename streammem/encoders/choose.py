"""Which encoder a name means."""

from typing import Final

from streammem.errors import UsageError, one_of
from streammem.names import MODEL_FORMS, parse_model
from streammem.protocols import Encoder

FAMILIES: Final = ("embedded", "openclip")


def choose_encoder(name: str, *, device: str = "auto", threads: int | None = None) -> Encoder:
    """Return the encoder that `name` means; `MODEL_FORMS` lists the forms.

    `device` is auto, cpu, cuda or mps. `threads` is the number of threads of one call where the
    encoder can be told, None for one a core.
    """
    model = parse_model(name)
    if model.family == "embedded":
        if model.model or model.revision:
            raise UsageError(f"encoder {name!r}: embedded takes nothing after it")
        from streammem.encoders.embedded import EmbeddedEncoder

        return EmbeddedEncoder(device=device, threads=threads)
    if model.family == "openclip":
        from streammem.encoders.openclip import OpenClipEncoder

        return OpenClipEncoder(model, device=device)
    raise UsageError(f"{one_of('encoder', name, FAMILIES)} ({MODEL_FORMS})")
