"""Whether a host answers, asked once and for a short time: libraries try a hub that is not there for most of a minute.

Any answer counts, an error's, too: it came from there. Proxies of the environment are used.
"""

import functools
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

PROBE_S = 4.0
"""How long a host has to answer. Names that a dead resolver looks for take longer: they are not waited for."""


@functools.cache
def silence_of(url: str) -> str:
    """Why the host of ``url`` does not answer, in words; nothing where it does. Asked once a process."""
    parts = urlsplit(url)
    host = f"{parts.scheme}://{parts.netloc}/"
    said: list[str] = []
    asking = threading.Thread(target=lambda: said.append(_ask(host)), daemon=True)
    asking.start()
    asking.join(PROBE_S)
    why = said[0] if said else f"no answer within {PROBE_S:g} s"
    return why and f"{parts.netloc} cannot be reached: {why}"


def _ask(host: str) -> str:
    request = urllib.request.Request(host, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=PROBE_S):
            return ""
    except urllib.error.HTTPError:
        return ""
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return "" if isinstance(reason, ssl.SSLError) else str(reason)


@contextmanager
def hub_within_reach() -> Iterator[str]:
    """Use Hugging Face's hub, or its files on this machine alone where the hub does not answer; yields why it does not.

    Its library tries a file five times before it says that there is no network.
    """
    from huggingface_hub import constants

    why = "" if constants.HF_HUB_OFFLINE else silence_of(constants.ENDPOINT)
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or bool(why)
    try:
        yield why
    finally:
        constants.HF_HUB_OFFLINE = before
