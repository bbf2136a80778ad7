"""The client's side of SCRAM and CRAM-MD5, written from the RFCs for the tests alone."""

import base64
import hashlib
import hmac


class ScramClient:
    """RFC 5802 for SHA-256; ``binding`` is a channel binding type with its data."""

    def __init__(
        self,
        user: str,
        password: str,
        nonce: str = "rOprNGfwEbeRWgbNEkqO",
        binding: tuple[str, bytes] | None = None,
        flag: str = "n",
    ) -> None:
        self.password = password.encode()
        self.nonce = nonce
        name = user.replace("=", "=3D").replace(",", "=2C")
        self.header = f"p={binding[0]},," if binding else f"{flag},,"
        self.bound = self.header.encode() + (binding[1] if binding else b"")
        self.bare = f"n={name},r={nonce}"
        self.signature = b""

    def first(self) -> bytes:
        return (self.header + self.bare).encode()

    def final(self, challenge: bytes) -> bytes:
        nonce, salt, iterations = (part.split("=", 1)[1] for part in challenge.decode().split(","))
        assert nonce.startswith(self.nonce)
        salted = hashlib.pbkdf2_hmac(
            "sha256", self.password, base64.b64decode(salt), int(iterations)
        )
        client = hmac.digest(salted, b"Client Key", "sha256")
        without = f"c={base64.b64encode(self.bound).decode()},r={nonce}".encode()
        message = b",".join((self.bare.encode(), challenge, without))
        made = hmac.digest(hashlib.sha256(client).digest(), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(client, made, strict=True))
        server = hmac.digest(salted, b"Server Key", "sha256")
        self.signature = hmac.digest(server, message, "sha256")
        return without + b",p=" + base64.b64encode(proof)

    def trusts(self, outcome: bytes) -> bool:
        """Whether the server proved that it knows the password's keys."""
        return outcome == b"v=" + base64.b64encode(self.signature)


def cram_md5(user: str, secret: bytes, challenge: bytes) -> bytes:
    """RFC 2195 2."""
    return user.encode() + b" " + hmac.new(secret, challenge, "md5").hexdigest().encode()
