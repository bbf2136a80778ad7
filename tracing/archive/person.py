"""A person to be taken out of the log: how the address is found, what stands there then (PURE).

The alias keeps the domain, and is the same in all months, so what happened can still be told and
still belongs together; who it was cannot.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property

from tracing import addresses

_BEFORE = r"(?:(?<![\w.+=-])|(?<=\\[bfnrt]))"
"""Nothing that the address would go on with to the left; a letter may belong to a JSON escape."""
_AFTER = r"(?![\w-]|\.\w)"
PREFIX = "erased-"


@dataclass(frozen=True)
class Person:
    """``address`` as ``addresses.fold`` has it; ``alias`` is the local part of what replaces it."""

    address: str
    alias: str

    @cached_property
    def local(self) -> str:
        """The local part."""
        return addresses.split(self.address)[0]

    @cached_property
    def host(self) -> str:
        """The domain."""
        return addresses.split(self.address)[1]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        forms = {self.address, json.dumps(self.address, ensure_ascii=False)[1:-1]}
        said = "|".join(re.escape(one) for one in sorted(forms, key=len, reverse=True))
        return re.compile(f"{_BEFORE}(?:{said}){_AFTER}", re.IGNORECASE)

    @cached_property
    def like(self) -> str | None:
        """A pattern for LIKE that all text with the address matches; None where there is none."""
        plain = re.fullmatch(r"[\w.+-]+", self.local, re.ASCII) is not None
        return f"%{self.local.replace('_', '%')}%" if plain else None

    def is_in(self, text: str | None) -> bool:
        """Whether a text names the person."""
        return text is not None and self._pattern.search(text) is not None

    def taken_out(self, text: str) -> str:
        """The text with the alias in the person's place."""
        return self._pattern.sub(addresses.join(self.alias, self.host), text)
