"""The settings: annotated from the model, checked whole, every problem at once."""

import json
import os
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad import cli, config
from mtad.config import Config, Loaded
from mtad.errors import Exit
from mtad.sasl.mechanisms import NAMES
from mtad.setup import annotated, status


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


@pytest.mark.parametrize("defaults_as_comments", [True, False])
def test_the_written_settings_are_read_back_the_same(
    tmp_path: Path, defaults_as_comments: bool
) -> None:
    given_settings = Config(
        hostname="mail.example.org",
        data_dir='odd "name"\\ \t with é',
        listen=config.Listen(smtp=("127.0.0.1:2525", "[::1]:2525"), imap=()),
        store=config.Store(keep_deleted_days=3),
    )
    path = tmp_path / "mtad.toml"
    path.write_text(annotated.toml(given_settings, defaults_as_comments=defaults_as_comments))
    assert config.load(path).config == given_settings


def test_the_mechanisms_of_the_settings_are_those_there_are() -> None:
    assert config.Auth().mechanisms == NAMES
    assert get_args(config.Mechanism) == NAMES


def test_every_setting_is_in_the_file_with_its_description() -> None:
    text = annotated.toml(Config(hostname="h.example"), defaults_as_comments=True)
    plain = " ".join(line.removeprefix("# ") for line in text.split("\n"))
    for name, field in config.settings():
        if "." in name or not isinstance(getattr(Config(hostname="x"), name), config.Section):
            assert f"{name.rpartition('.')[2]} = " in text
            assert " ".join((field.description or "?").split()) in plain, name


def test_a_default_stands_as_a_comment_so_that_a_better_one_takes_effect() -> None:
    text = annotated.toml(Config(hostname="h.example"), defaults_as_comments=True)
    assert {key: value for key, value in tomllib.loads(text).items() if value} == {
        "hostname": "h.example"
    }
    assert "# max_recipients = 1000" in text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_as_a_toml_literal(text: str) -> None:
    assert tomllib.loads(f"x = {annotated.literal(text)}") == {"x": text}


def test_show_prints_every_value_in_force(site: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "config", "show", "--config", str(site.path))
    assert code == 0
    assert Config.model_validate(config._tuples(tomllib.loads(out))) == site.config
    assert "\nmax_recipients = 1000\n" in out
    code, out, _ = run(capsys, "config", "show", "--config", str(site.path), "--json")
    shown = json.loads(out)
    assert shown["settings"]["smtp"]["max_recipients"] == 1000
    assert shown["config"] == str(site.path)


def test_all_problems_of_a_file_are_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mtad.toml"
    path.write_text(
        'hostnam = "x"\n'
        "[smtp]\nmax_message_byte = 1\nmax_recipients = 5\n"
        '[listen]\nsmtp = ["0.0.0.0:99999"]\nimap = 143\n'
        '[backup]\ndaily_at = "25:00"\n'
    )
    code, out, err = run(capsys, "config", "check", "--config", str(path))
    assert (code, out) == (Exit.USAGE, "")
    assert "Traceback" not in err
    for line in (
        "hostname: required",
        "hostnam: no such setting; did you mean hostname?",
        "smtp.max_message_byte: no such setting; did you mean smtp.max_message_bytes?",
        "smtp.max_recipients: input should be greater than or equal to 100, got 5",
        "listen.smtp: '0.0.0.0:99999' is not ADDRESS:PORT",
        "listen.imap: ",
        "backup.daily_at: ",
    ):
        assert line in err, line


BROKEN = {
    "no TOML": (b"hostname = \n", "line 1"),
    "no UTF-8": (b'hostname = "\xff"\n', "not UTF-8"),
    "twice": (b'a = 1\na = 2\nhostname="x"\n', "line 2"),
    "wrong data_dir": (b'hostname = "x"\ndata_dir = 5\n', "data_dir"),
    "empty": (b"", "hostname: required"),
}


@pytest.mark.parametrize(("written", "says"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_told_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: bytes, says: str
) -> None:
    path = tmp_path / "mtad.toml"
    path.write_bytes(written)
    code, out, err = run(capsys, "config", "check", "--config", str(path))
    assert (code, out) == (Exit.USAGE, "")
    assert str(path) in err
    assert says in err
    assert "Traceback" not in err


def test_a_missing_file_is_told_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run(capsys, "config", "check", "--config", str(tmp_path / "none.toml"))
    assert code == Exit.USAGE
    assert err == (
        f"mtad: there is no settings file {tmp_path}/none.toml; 'mtad quickstart' makes one\n"
    )
    monkeypatch.setenv("MTAD_CONFIG", str(tmp_path / "other.toml"))
    assert "other.toml" in run(capsys, "config", "check")[2]


def test_the_settings_file_is_found_by_environment_and_folder(
    site: Loaded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTAD_CONFIG", str(site.path))
    assert run(capsys, "config", "check")[0] == 0
    monkeypatch.delenv("MTAD_CONFIG")
    monkeypatch.chdir(site.path.parent)
    assert run(capsys, "config", "check")[0] == 0


def test_a_whole_site_is_sound(site: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(status.problems(site)) == []
    code, out, _ = run(capsys, "config", "check", "--config", str(site.path))
    assert (code, out) == (0, f"{site.path} is sound, and so is what it names\n")


def test_what_the_settings_name_is_looked_at(
    site: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    site.beside("repository.key").unlink()
    site.beside("tls/key.pem").write_text("no key")
    for path in list(site.places.data.glob("state.db*")):
        path.unlink()
    code, out, _ = run(capsys, "config", "check", "--config", str(site.path), "--json")
    found = json.loads(out)["problems"]
    assert code == Exit.PROBLEMS
    assert len(found) == 3
    assert any("state.db" in problem for problem in found)
    assert any("tls: " in problem for problem in found)
    assert any("repository.key" in problem and "put" in problem for problem in found)


def test_a_dkim_key_that_is_gone_is_told(site: Loaded) -> None:
    for path in site.beside("dkim").glob("*.m*.pem"):
        path.unlink()
    (problem,) = status.problems(site)
    assert problem.startswith("dkim: cannot read the DKIM key ")
    assert problem.endswith("'mtad dkim rotate example.org' makes another key")


def test_a_data_directory_that_is_missing_or_closed_is_told(
    site: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert [problem for problem in status.problems(site) if "not writable" in problem]
    monkeypatch.undo()
    site.places.data.rename(site.places.data.with_name("moved"))
    assert [problem for problem in status.problems(site) if "does not exist" in problem]
