"""What a server says it can do: the answer to EHLO or LHLO (RFC 5321 4.1.1.1) (PURE)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mtad.outbound.reply import Reply

MAX_SIZE = 2**63 - 1
"""An announced SIZE above it means no limit."""


@dataclass(frozen=True, slots=True)
class Extensions:
    """Keywords in upper case with their parameters; ``name`` is what the server calls itself."""

    name: str = ""
    keywords: Mapping[str, str] = field(default_factory=dict)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def max_size(self) -> int:
        """Octets of the largest message taken, 0 where none is announced (RFC 1870 4)."""
        return _number(self.keywords.get("SIZE", ""))

    @property
    def mechanisms(self) -> frozenset[str]:
        """SASL mechanisms (RFC 4954 3)."""
        return frozenset(self.keywords.get("AUTH", "").upper().split())

    @property
    def max_recipients(self) -> int:
        """Recipients of one transaction, 0 where none is announced (RFC 9422 3.2)."""
        return self._limit("RCPTMAX")

    @property
    def max_messages(self) -> int:
        """Transactions of one connection, 0 where none is announced (RFC 9422 3.2)."""
        return self._limit("MAILMAX")

    def _limit(self, name: str) -> int:
        for word in self.keywords.get("LIMITS", "").upper().split():
            if word.startswith(name + "="):
                return _number(word.partition("=")[2])
        return 0


def parse(reply: Reply) -> Extensions:
    """The extensions in a positive answer to EHLO; keywords that are none are left out."""
    first, *rest = reply.words
    keywords: dict[str, str] = {}
    for line in rest:
        keyword, _, parameters = line.strip().partition(" ")
        if keyword.upper().startswith("AUTH="):
            # A form from before RFC 4954 that servers still send beside the right one.
            keyword, parameters = "AUTH", f"{keyword[5:]} {parameters}"
            parameters = f"{keywords.get('AUTH', '')} {parameters}"
        keywords[keyword.upper()] = parameters.strip()
    return Extensions(first.split(" ", 1)[0].strip(), keywords)


def _number(text: str) -> int:
    """A number as written, 0 for none."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 20:
        return 0
    return int(digits) if int(digits) <= MAX_SIZE else 0
