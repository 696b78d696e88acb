"""Addresses of cameras as they may be shown: without the passwords in them."""

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from streammem.errors import UsageError

CAMERA_SCHEMES = ("rtsp", "rtsps", "http", "https")
_SECRET = re.compile(r"pass|pwd|user|usr|login|token|secret|key|auth|sig|cred", re.IGNORECASE)
_HIDDEN = "hidden"


def scheme_of(uri: str) -> str | None:
    """Return the scheme of an address, None where `uri` is no address."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", uri)
    return found[1].lower() if found else None


def without_secrets(uri: str) -> str:
    """Return `uri` without user and password, and with secret-looking parameters hidden."""
    try:
        parts = urlsplit(uri)
        query = [
            (name, _HIDDEN if _SECRET.search(name) else value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        ]
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, place, parts.path, urlencode(query), ""))
    except ValueError:
        return f"{scheme_of(uri)}://..."


def camera_name(uri: str) -> str:
    """Return a short name for the camera at `uri`: its host and path."""
    try:
        parts = urlsplit(without_secrets(uri))
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host:
        raise UsageError(
            f"address {without_secrets(uri)} names no host; write it like rtsp://host:554/stream"
        )
    return host + parts.path.rstrip("/")
