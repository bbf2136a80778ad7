"""Charsets a client may name in SEARCH, SORT and THREAD (PURE)."""

_ISO = {f"ISO-8859-{number}": f"iso8859_{number}" for number in range(1, 17) if number != 12}
_WINDOWS = {f"WINDOWS-{number}": f"cp{number}" for number in range(1250, 1259)}

CHARSETS = {
    "US-ASCII": "ascii",
    "UTF-8": "utf-8",
    **_ISO,
    **_WINDOWS,
    "KOI8-R": "koi8-r",
    "KOI8-U": "koi8-u",
    "IBM866": "cp866",
    "GB2312": "gb2312",
    "GBK": "gbk",
    "GB18030": "gb18030",
    "BIG5": "big5",
    "SHIFT_JIS": "shift_jis",
    "EUC-JP": "euc_jp",
    "ISO-2022-JP": "iso2022_jp",
    "EUC-KR": "euc_kr",
    "TIS-620": "tis_620",
}
"""By name the codec; no other codec is ever looked for."""

_ALIASES = {
    "ASCII": "US-ASCII",
    "UTF8": "UTF-8",
    "LATIN1": "ISO-8859-1",
    "CP866": "IBM866",
    **{f"CP{number}": f"WINDOWS-{number}" for number in range(1250, 1259)},
}


def name(said: str) -> str:
    """A charset's name as it stands in ``CHARSETS``, or in upper case where it is not there."""
    upper = said.upper()
    return _ALIASES.get(upper, upper)


def decode(data: bytes, charset: str) -> str:
    """Text in a charset; in one that is not known here its octets. Raises ValueError."""
    return data.decode(CHARSETS.get(charset, "latin-1"))
