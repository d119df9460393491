"""Settings come from the environment, else from a file, and mistakes in them get a sentence."""

import pytest

from engine import settings
from engine.problems import ConfigError


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELBOARD_SETTINGS", str(tmp_path / "accelboard.toml"))
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(f"ACCELBOARD_{name.upper()}", raising=False)
    return tmp_path / "accelboard.toml"


def test_the_environment_wins_over_the_file_and_an_argument_over_both(file, monkeypatch, tmp_path):
    file.write_text('port = 9001\nstore = "/from/file"\n')
    assert settings.load().port == 9001
    monkeypatch.setenv("ACCELBOARD_PORT", "9002")
    assert settings.load().port == 9002
    assert str(settings.load().store) == "/from/file"
    assert settings.load(tmp_path).store == tmp_path


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("port = 70000", "Port must be between 1 and 65,535, got 70,000."),
        ("prot = 1", "Unknown field 'prot'. Did you mean 'port'?"),
        ("port = ", "is not valid TOML"),
    ],
)
def test_a_mistake_in_the_file_gets_a_sentence(file, text, sentence):
    file.write_text(text)
    with pytest.raises(ConfigError, match=sentence.replace("?", r"\?")):
        settings.load()


def test_a_file_that_is_named_must_be_there(file):
    with pytest.raises(ConfigError, match="which is no file"):
        settings.load()


def test_without_anything_it_listens_on_this_host_only(file):
    file.write_text("")
    assert (settings.load().address, settings.load().port) == ("127.0.0.1", 8501)


def test_a_setting_that_changes_is_seen_by_the_next_reader(monkeypatch):
    for port in (9001, 9002):
        monkeypatch.setenv("ACCELBOARD_PORT", str(port))
        assert settings.load().port == port


@pytest.mark.parametrize("text", ["team.example", "ftp://team.example", "https://", "javascript:x"])
def test_a_public_address_that_is_none_is_said_in_a_sentence(monkeypatch, text):
    monkeypatch.setenv("ACCELBOARD_PUBLIC_ADDRESS", text)
    with pytest.raises(ConfigError, match="Public address must begin with"):
        settings.load()
