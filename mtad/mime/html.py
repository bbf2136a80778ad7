"""The text of an HTML document, near enough to search it and to show its beginning (PURE).

One pass, in time proportional to the document, whatever that is.
"""

import html
import re

_BLOCKS = frozenset(
    {
        "address", "article", "aside", "blockquote", "body", "br", "center", "dd", "div", "dl",
        "dt", "fieldset", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "head",
        "header", "hr", "html", "li", "main", "nav", "ol", "option", "p", "pre", "section",
        "select", "table", "tbody", "td", "tfoot", "th", "thead", "title", "tr", "ul",
    }
)  # fmt: skip
"""Elements that part words; others may stand inside of one."""
_HIDDEN = {name: re.compile(f"</{name}", re.I) for name in ("script", "style", "title")}
"""Elements whose content nobody sees, and what ends them."""
_NAME = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)")


def text(document: str) -> str:
    """What a reader sees, without layout."""
    kept: list[str] = []
    at, end = 0, len(document)
    while at < end:
        mark = document.find("<", at)
        if mark < 0:
            kept.append(document[at:])
            break
        kept.append(document[at:mark])
        if document.startswith("<!--", mark):
            close = document.find("-->", mark + 4)
            at = close + 3 if close >= 0 else end
            continue
        found = _NAME.match(document, mark)
        if found is None and document[mark + 1 : mark + 2] not in ("!", "?", "/"):
            kept.append("<")
            at = mark + 1
            continue
        close = document.find(">", mark)
        if close < 0:
            break
        at = close + 1
        name = found[1].lower() if found else ""
        if name in _BLOCKS:
            kept.append("\n")
        if name in _HIDDEN and document[mark + 1] != "/":
            ending = _HIDDEN[name].search(document, at)
            at = ending.start() if ending else end
    return html.unescape("".join(kept)).replace("\xa0", " ")
