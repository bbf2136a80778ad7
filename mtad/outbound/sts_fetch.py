"""Fetching an MTA-STS policy file by HTTPS (RFC 8461 3.3)."""

from mtad.outbound.https import PORT, Https, HttpsFailed, Request
from mtad.outbound.mta_sts import MAX_POLICY
from mtad.outbound.sts_cache import HOST, FetchFailed

PATH = "/.well-known/mta-sts.txt"


class StsFetcher:
    """Fetches policy files; calling it with a domain gives the file's octets."""

    def __init__(self, https: Https, *, port: int = PORT) -> None:
        self._https = https
        self._port = port

    async def __call__(self, domain: str) -> bytes:
        """A domain's policy file. Raises FetchFailed."""
        request = Request(HOST + domain, PATH, {"Accept": "text/plain"}, port=self._port)
        try:
            response = await self._https(request, MAX_POLICY)
        except HttpsFailed as error:
            kind = "sts-webpki-invalid" if error.is_untrusted else "sts-policy-fetch-error"
            raise FetchFailed(kind, str(error)) from error
        if response.status != 200:
            # RFC 8461 3.3: redirects must not be followed.
            raise FetchFailed("sts-policy-fetch-error", f"HTTP status {response.status}")
        if response.kind != "text/plain":
            raise FetchFailed("sts-policy-fetch-error", f"media type {response.kind[:40]!r}")
        if len(response.body) > MAX_POLICY:
            raise FetchFailed("sts-policy-invalid", "the policy is too long")
        return response.body
