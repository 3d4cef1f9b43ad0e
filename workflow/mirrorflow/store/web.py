"""Addresses that are fetched: http and https, and nothing that a server sends on to beside them."""

import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPMessage
from typing import IO, Any

SCHEMES = ("http", "https")
TIMEOUT_S = 60.0


def open_address(request: urllib.request.Request) -> Any:
    """The answer of an http or https address, which may send on to such addresses alone. Raises URLError, HTTPError."""
    return urllib.request.build_opener(_SameKindOfAddress()).open(request, timeout=TIMEOUT_S)


class _SameKindOfAddress(urllib.request.HTTPRedirectHandler):
    """Follows a server to http and https: urllib would follow it to ftp, too."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme not in SCHEMES:
            why = f"{msg}: it sends on to {newurl!r}, which is no http or https address"
            raise urllib.error.HTTPError(req.full_url, code, why, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
