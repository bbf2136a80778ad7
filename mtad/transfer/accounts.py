"""Several accounts to import, as an administrator who moves lists them (CSV, RFC 4180).

The first line names the columns: ``box``, ``source``, and for accounts on servers ``password``
or ``password_file``; ``folder`` is the mailbox to import into. Anything else is refused, so
that a misspelt column is not passed over.
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path

from mtad.errors import UsageError

COLUMNS = ("box", "source", "password", "password_file", "folder")
MAX_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Row:
    """One account: into which box, from where, and what opens it."""

    box: str
    source: str
    password: str = field(default="", repr=False)
    password_file: str = ""
    folder: str = ""


def read(path: Path) -> list[Row]:
    """The accounts of a file. Raises UsageError for what is wrong with it, OSError."""
    rows: list[Row] = []
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            names = [name.strip().lower() for name in next(reader, [])]
            unknown = [name for name in names if name not in COLUMNS]
            if unknown or not {"box", "source"} <= set(names) or len(set(names)) != len(names):
                raise UsageError(
                    f"{path}: its first line must name columns: box, source, and of "
                    f"password, password_file, folder what is needed"
                )
            for fields in reader:
                if not any(fields):
                    continue
                if len(fields) != len(names) or len(rows) == MAX_ROWS:
                    raise UsageError(
                        f"{path}, line {reader.line_num}: {len(names)} columns, please"
                    )
                row = Row(**dict(zip(names, map(str.strip, fields), strict=True)))
                if not row.box or not row.source:
                    raise UsageError(f"{path}, line {reader.line_num}: no box or no source")
                rows.append(row)
        except (csv.Error, UnicodeDecodeError) as error:
            raise UsageError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise UsageError(f"{path} lists no account")
    return rows
