"""The certificate of the settings, as every service shows it."""

import ssl

from mtad import tls
from mtad.config import Loaded
from mtad.errors import ConfigError
from mtad.sasl.binding import server_end_point

Certificate = tuple[ssl.SSLContext | None, bytes]
"""A TLS context, None without TLS, and the hash of its certificate for channel bindings."""


def certificate(loaded: Loaded) -> Certificate:
    """What the settings' files give; no TLS where neither file is there. Raises ConfigError."""
    settings = loaded.config.tls
    chain, key = loaded.beside(settings.certificate), loaded.beside(settings.key)
    if not chain.exists() and not key.exists():
        return None, b""
    context = tls.server_context(chain, key)
    return context, server_end_point(chain.read_bytes())


def renewed(loaded: Loaded, present: ssl.SSLContext | None) -> Certificate:
    """The same for a server that runs: TLS that was offered does not go with its files."""
    found = certificate(loaded)
    if found[0] is None and present is not None:
        chain = loaded.beside(loaded.config.tls.certificate)
        raise ConfigError(f"there is no file {chain}; TLS is switched off by a restart only")
    return found
