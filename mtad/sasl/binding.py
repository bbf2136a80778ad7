"""Channel bindings: what ties a login to the very TLS connection it came on (RFC 5056) (PURE).

``tls-server-end-point`` (RFC 5929 4) is the hash of our certificate, ``tls-exporter``
(RFC 9266) keying material of a TLS 1.3 connection, ``tls-unique`` (RFC 5929 3) the first
Finished message of an older one.
"""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

END_POINT = "tls-server-end-point"
EXPORTER = "tls-exporter"
UNIQUE = "tls-unique"


def server_end_point(pem: bytes) -> bytes:
    """The hash of the first certificate in a PEM chain; empty where none is defined.

    The hash is that of the certificate's signature, SHA-256 in place of MD5 and SHA-1; an
    Ed25519 signature names none. Raises ValueError where there is no certificate.
    """
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return b""
    if algorithm is None:
        return b""
    if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
        algorithm = hashes.SHA256()
    return certificate.fingerprint(algorithm)
