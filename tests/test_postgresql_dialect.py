"""The log's SQL in PostgreSQL's words, and text that PostgreSQL cannot hold."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.postgresql import escaped, plain
from tracing.postgresql import dialect

_SPECIAL = ["\0", "\\", "u", "0", "\U0010fffd", "1", "2", "x"]
ODD = st.text(st.sampled_from(_SPECIAL) | st.characters(codec="utf-8"))


@given(ODD)
def test_any_text_comes_back(text: str) -> None:
    kept = escaped(text)
    assert "\0" not in kept
    assert plain(kept) == text


@given(st.dictionaries(ODD, ODD, max_size=3))
def test_json_stays_json_without_nul(fields: dict[str, str]) -> None:
    document = json.dumps(fields)
    kept = json.loads(escaped(document))
    assert "\0" not in "".join([*kept, *kept.values()])
    assert plain(escaped(document)) == document


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        ("SELECT id FROM msg WHERE id=? AND ts<?", "SELECT id FROM msg WHERE id=%s AND ts<%s"),
        ("WHERE +m.login=:v0 AND (+n>=:low)", "WHERE m.login=%(v0)s AND (n>=%(low)s)"),
        ("SET n=n+excluded.n", "SET n=n+excluded.n"),
        ("s LIKE ? ESCAPE '\\' OR s='50%'", "s ILIKE %s ESCAPE '\\' OR s='50%%'"),
        ("ev CROSS JOIN also ON x=y", "ev JOIN also ON x=y"),
        ("rcpt r CROSS JOIN addr a WHERE", "rcpt r CROSS JOIN addr a WHERE"),
        ("json_extract(e.detail, '$.ms')", "((e.detail)::json->>'ms')"),
        ("json_extract(item.value, '$[0]')", "((item.value)::json->>0)"),
        (
            "IN (SELECT value FROM json_each(:v3))",
            "IN (SELECT unnest(translate(%(v3)s,'[]','{}')::bigint[]))",
        ),
        ("instr(a.local,:v1)>0", "strpos(a.local,%(v1)s)>0"),
    ],
)
def test_what_differs_is_put_in_its_words(text: str, said: str) -> None:
    assert dialect.statement(text).text == said


def test_full_text_questions_take_their_values_made() -> None:
    found = dialect.statement("a MATCH ? OR msg_fts MATCH ? OR x=?")
    assert found.values(("one", '"Счёт" "Été"*', 3)) == ["one", "'счет' & 'ete':*", 3]
    named = dialect.statement("addr_tri MATCH :v1 UNION addr_tri MATCH :v1")
    assert named.values({"v1": '"abc" "b""c"', "v2": 2}) == {"v1": ["abc", 'b"c'], "v2": 2}


@given(st.text())
def test_a_query_is_of_letters_and_digits(text: str) -> None:
    made = dialect.query(f'"{text}"*')
    assert all(char.isalnum() or char in "'&: *" for char in made)
