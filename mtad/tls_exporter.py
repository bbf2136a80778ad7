"""Keying material of a TLS 1.3 connection, for channel bindings (RFC 8446 7.5, RFC 9266).

Python's ssl module does not hand it out, OpenSSL below it does. So the connection's SSL pointer
is read from where CPython keeps it, behind the object's head and a weak reference, and OpenSSL
is asked through ctypes. A pointer that is none would end the process; therefore nothing is
asked before a process of its own has shown that both ends of a handshake export the same. Where
that fails, or ssl is built otherwise, there is no keying material and nothing else is lost.
"""

import contextlib
import ctypes
import datetime
import functools
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LABEL = b"EXPORTER-Channel-Binding"
OCTETS = 32
"""RFC 9266 2."""
PROBE_SECONDS = 20

_POINTER = ctypes.sizeof(ctypes.c_void_p)
_SSL_OFFSET = object.__basicsize__ + _POINTER
"""Where an ``_ssl._SSLSocket`` has its SSL pointer: the same from CPython 2.7 to 3.14."""


@functools.cache
def is_usable() -> bool:
    """Whether keying material can be had; asks another process once, a tenth of a second."""
    if sys.implementation.name != "cpython" or _export() is None:
        return False
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        probe = [sys.executable, "-c", "from mtad import tls_exporter; tls_exporter.probe()"]
        done = subprocess.run(  # noqa: S603 - ourselves
            probe, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_SECONDS, check=False
        )
        return done.returncode == 0
    return False


def exported(secure: ssl.SSLObject) -> bytes:
    """The ``tls-exporter`` channel binding of a TLS 1.3 connection; empty where there is none."""
    if secure.version() != "TLSv1.3" or not is_usable():
        return b""
    return _exported(secure)


@functools.cache
def _export() -> Any:
    """OpenSSL's own function, as the ssl module that is loaded uses it."""
    try:
        library = ctypes.CDLL(sys.modules["_ssl"].__file__)
        function = library.SSL_export_keying_material
    except (OSError, AttributeError, KeyError):
        return None
    octets, size = ctypes.c_char_p, ctypes.c_size_t
    function.restype = ctypes.c_int
    function.argtypes = [
        *(ctypes.c_void_p, octets, size, octets, size, octets, size),
        ctypes.c_int,
    ]
    return function


def _exported(secure: Any) -> bytes:
    inner = secure._sslobj
    pointer = ctypes.c_void_p.from_address(id(inner) + _SSL_OFFSET).value
    if not pointer:
        return b""
    made = ctypes.create_string_buffer(OCTETS)
    good = _export()(pointer, made, OCTETS, LABEL, len(LABEL), b"", 0, 1)
    return made.raw if good == 1 else b""


def probe() -> None:
    """Shake hands with ourselves twice; exit status 0 when both ends agree each time."""
    material = {_agreed() for _ in range(2)}
    sys.exit(0 if len(material) == 2 and b"" not in material else 1)


def _agreed() -> bytes:
    """What both ends of a fresh connection export; empty where they differ."""
    server, client = _contexts()
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="probe.invalid"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(4):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    first, second = map(_exported, ends)
    return first if first == second and ends[0].version() == "TLSv1.3" else b""


def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server with a certificate for the occasion, and a client that does not look at it."""
    from cryptography import x509  # noqa: PLC0415 - for the probe alone
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "probe.invalid")])
    now, hour = datetime.datetime.now(datetime.UTC), datetime.timedelta(hours=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - hour)
        .not_valid_after(now + hour)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "probe.pem")
        file.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, form, plain))
        server.load_cert_chain(file)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    return server, client
