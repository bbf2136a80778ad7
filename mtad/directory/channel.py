"""The channel bindings of a TLS connection, for SCRAM's -PLUS (RFC 5929, RFC 9266)."""

import ssl

from mtad import tls_exporter
from mtad.sasl.binding import END_POINT, EXPORTER, UNIQUE


def bindings(secure: ssl.SSLObject, end_point: bytes) -> dict[str, bytes]:
    """What a login on a connection can be bound to, by type.

    ``end_point`` is the hash of the certificate the connection shows (``mtad.sasl.binding``).
    Nothing, where the type that TLS version's clients use by default is not to be had: a client
    that sees -PLUS and cannot use it may well not try anything else.
    """
    if secure.version() == "TLSv1.3":
        usual, data = EXPORTER, tls_exporter.exported(secure)
    else:
        usual, data = UNIQUE, secure.get_channel_binding("tls-unique") or b""
    if not data:
        return {}
    return {usual: data} | ({END_POINT: end_point} if end_point else {})
