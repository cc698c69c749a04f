"""What all commands have in common: messages, logs, JSON, files of options, completion, exit status."""

import argparse
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from solartrack import archive, cli, features
from solartrack.cli import _messages
from solartrack.errors import SolartrackError
from solartrack.tracking.solar import CONVENTIONS

BOX = "20,20,30,28"
DISK = "--disk=32,32,28,4"


def parsers(parser=None, name="solartrack"):
    """All commands with their parsers."""
    parser = parser or cli.command_parser()
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        yield name, parser
    for action in inner:
        for word, one in action.choices.items():
            yield from parsers(one, f"{name} {word}")


def track(pictures, out, *more):
    how = ["--tracker", "rotation", "--box", BOX, DISK, "--cadence", "6h"]
    return cli.main(["track", str(pictures), *how, "-o", str(out), *more])


@pytest.fixture
def command(monkeypatch):
    """`solartrack verify` made to do what a test wants."""

    def replace(does):
        monkeypatch.setattr(cli.verify, "run", does)

    return replace


def test_every_command_has_the_same_options_of_messages_and_tells_its_exit_status():
    found = dict(parsers())
    assert len(found) > 20 and "solartrack fetch images" in found and "solartrack flares score" in found
    for name, parser in found.items():
        text = parser.format_help()
        assert "130  interrupted" in text, name
        if name != "solartrack completion":
            options = ("--quiet", "--verbose", "--json", "--log-file FILE")
            assert all(option in text for option in options), name


def test_the_conventions_of_the_command_line_are_those_of_the_tracker():
    for name in ("solartrack track", "solartrack track-archive"):
        (option,) = (a for a in dict(parsers())[name]._actions if "--convention" in a.option_strings)
        assert list(option.choices) == list(CONVENTIONS)


def test_help_fits_a_terminal_of_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name, parser in parsers():
        body = parser.format_help().partition("\n\n")[2]  # argparse cannot break a group in the usage
        assert [line for line in body.splitlines() if len(line) > 80] == [], name


def test_commands_of_the_help_are_broken_so_that_a_shell_takes_them(monkeypatch):
    def commands(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        notes = dict(parsers())["solartrack flares score"].format_help().partition("examples:")[2]
        return [line.split() for line in notes.replace("\\\n", "").splitlines() if line.startswith("    sol")]

    assert commands(60) == commands(300) and len(commands(60)) == 7


def test_json_is_one_document_on_standard_output(pictures, tmp_path, capsys):
    assert track(pictures, tmp_path / "t.csv", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "images": 3,
        "states": {"start": 1, "tracked": 2},
        "output": str(tmp_path / "t.csv"),
    }
    draw = ["draw", str(pictures), "--track", str(tmp_path / "t.csv"), "--frame", "11"]
    assert cli.main([*draw, "-o", str(tmp_path / "p.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"output": str(tmp_path / "p.png"), "left_out": []}


def test_json_has_null_for_what_is_undefined(capsys):
    arguments = argparse.Namespace(json=True)
    _messages.say(arguments, {"a": float("nan"), "b": [np.float32(1.5), np.inf], 3: {"c": np.int64(2)}}, "")
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, None], "3": {"c": 2}}


def test_quiet_keeps_the_summary_and_what_went_wrong(pictures, tmp_path, capsys):
    (pictures / "011.png").write_bytes(b"")
    assert track(pictures, tmp_path / "t.csv", "-q") == 3
    told = capsys.readouterr()
    assert "wrote" in told.out and "frame 11: unreadable" in told.err


def test_progress_is_for_terminals(pictures, tmp_path, capsys, monkeypatch):
    assert track(pictures, tmp_path / "t.csv") == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert track(pictures, tmp_path / "t.csv") == 0
    assert "3/3 [" in capsys.readouterr().err
    assert track(pictures, tmp_path / "t.csv", "-q") == 0
    assert capsys.readouterr().err == ""


def test_messages_on_a_terminal_are_broken_between_words(command, capsys, monkeypatch):
    command(lambda arguments: _messages.LOG.warning("word " * 40) or 0)
    cli.main(["verify", "x"])
    assert len(capsys.readouterr().err.splitlines()) == 1
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    cli.main(["verify", "x"])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1 and max(map(len, lines)) <= 80


def test_log_file_has_summaries_and_messages_with_times_and_no_progress(pictures, tmp_path, monkeypatch):
    log = tmp_path / "log.txt"
    (pictures / "011.png").write_bytes(b"")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for _ in range(2):
        assert track(pictures, tmp_path / "t.csv", "--log-file", str(log)) == 3
    text = log.read_text()
    assert text.count("INFO: solartrack track ") == 2 and text.count("INFO: 3 images: ") == 2
    assert text.count("WARNING: frame 11: unreadable") == 2
    assert "it/s" not in text and "[00:" not in text
    stamp = text.split()[0]
    assert stamp.endswith("Z") and abs(pd.Timestamp(stamp) - pd.Timestamp.now("UTC")) < pd.Timedelta("5min")
    assert _messages.LOG.handlers == []


def test_log_file_that_cannot_be_written_stops_the_command(pictures, tmp_path, capsys):
    assert track(pictures, tmp_path / "t.csv", "--log-file", str(tmp_path / "no" / "log.txt")) == 1
    assert "solartrack: error: " in capsys.readouterr().err
    assert not (tmp_path / "t.csv").exists()


def test_warnings_of_python_are_messages(command, tmp_path, capsys):
    def run(arguments):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("100 % strange", stacklevel=1)
        return 0

    command(run)
    assert cli.main(["verify", "x", "--log-file", str(tmp_path / "log")]) == 0
    assert capsys.readouterr().err == "solartrack: warning: 100 % strange\n"
    assert "WARNING: 100 % strange" in (tmp_path / "log").read_text()


def test_verbose_says_the_version_the_time_and_where_an_error_is_from(command, capsys):
    def run(arguments):
        raise SolartrackError("no luck")

    command(run)
    assert cli.main(["verify", "x"]) == 1
    assert capsys.readouterr().err == "solartrack: error: no luck\n"
    assert cli.main(["verify", "x", "-v"]) == 1
    err = capsys.readouterr().err
    assert "solartrack: solartrack 0." in err and "Traceback" in err and "in run" in err
    command(lambda arguments: 0)
    assert cli.main(["verify", "x", "-v"]) == 0
    assert "took 0.0 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (SolartrackError("x"), 1, "error: x"),
        (ImportError("x"), 1, "error: x"),
        (KeyError("x"), 1, "error: a mistake in solartrack, please report it: KeyError('x')"),
        (KeyboardInterrupt(), 130, "warning: interrupted"),
    ],
)
def test_exit_status_says_what_became_of_it(command, capsys, error, status, message):
    def run(arguments):
        raise error

    command(run)
    assert cli.main(["verify", "x"]) == status
    assert f"solartrack: {message}\n" in capsys.readouterr().err


def test_options_are_not_to_be_shortened(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["verify", "x", "--verb"])
    assert stop.value.code == 2 and "unrecognized arguments: --verb" in capsys.readouterr().err


# -- files of options --------------------------------------------------------------


@pytest.fixture
def given(monkeypatch):
    """What archive jobs were called with; they do nothing."""
    calls = []

    def record(*arguments, **options):
        calls.append((arguments, options))
        raise SolartrackError("recorded")

    monkeypatch.setattr(archive, "track_archive", record)
    monkeypatch.setattr(features, "extract", record)
    return calls


@pytest.fixture
def config(tmp_path):
    def write(text):
        (tmp_path / "run.toml").write_text(text)
        return str(tmp_path / "run.toml")

    return write


WHOLE = """
catalogue = "events.csv"
images = ["a/**", "b"]
output = "run"
tracker = "rotation"
duration = "3d"
both-ways = true
workers = 4
"""


def test_a_file_gives_all_options_of_an_archive_run(given, config):
    assert cli.main(["track-archive", "--config", config(WHOLE)]) == 1
    ((catalogue, images, output), options) = given[0]
    assert (str(catalogue), images, str(output)) == ("events.csv", ["a/**", "b"], "run")
    assert options["duration"] == "3d" and options["both_ways"] is True and options["workers"] == 4
    assert options["tracker"].name == "rotation" and options["tolerance"] == "6h"


def test_the_command_line_wins_over_the_file(given, config):
    more = ["other.csv", "--images", "c", "--duration=1d", "--scheduler", "tcp://head:1"]
    assert cli.main(["track-archive", *more, f"--config={config(WHOLE)}", "-o", "there"]) == 1
    ((catalogue, images, output), options) = given[0]
    assert (str(catalogue), images, str(output)) == ("other.csv", ["c"], "there")
    assert options["duration"] == "1d" and options["both_ways"] is True
    assert options["workers"] is None and options["scheduler"] == "tcp://head:1"


def test_features_take_a_file_of_options_too(given, config):
    assert cli.main(["features", "--config", config("images = 'patches'\nset = 'sharp'\nzero = 128")]) == 1
    (arguments, options) = given[0]
    assert arguments[0] == ["patches"]
    assert options["feature_set"] == "sharp" and options["zero"] == 128.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imags = ['a']", "there is no option imags; did you mean images?"),
        ("both_ways = true", "there is no option both_ways; did you mean both-ways?"),
        ("x = 1", "there is no option x; known are both-ways, catalogue, "),
        ("config = 'other.toml'", "there is no option config"),
        ("workers = 'many'", "argument --workers: invalid int value: 'many'"),
        ("workers = true", "workers must be a text or a number, got True"),
        ("both-ways = 'yes'", "both-ways must be true or false, got 'yes'"),
        ("images = []", "images must be a text or a number, or a list of them, got []"),
        ("[images]\na = 1", "images must be a text or a number, or a list of them, got {'a': 1}"),
        ("workers = 1\nscheduler = 'tcp://head:1'", "workers and scheduler exclude each other"),
        ("row0 = 'left'", "argument --row0: invalid choice: 'left'"),
        ("images = ", "is no TOML file: "),
    ],
)
def test_a_wrong_file_of_options_is_wrong_usage_and_says_where(given, config, capsys, text, message):
    path = config(text)
    with pytest.raises(SystemExit) as stop:
        cli.main(["track-archive", "e.csv", "--images", "a", "-o", "run", "--config", path])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and not given
    assert message in " ".join(err.split()) and path in err


def test_a_missing_file_of_options_or_option_is_wrong_usage(given, config, tmp_path, capsys):
    for path, message in (
        (str(tmp_path / "nowhere.toml"), "nowhere.toml: No such file"),
        (config("images = 'a'"), "the following arguments are required: CATALOGUE, -o/--output"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(["track-archive", "--config", path])
        assert stop.value.code == 2 and message in " ".join(capsys.readouterr().err.split())


# -- the shell, and interruptions ----------------------------------------------------


def test_bash_completes_commands_options_and_files(tmp_path, capsys):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    assert cli.main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    (tmp_path / "events.csv").touch()

    def completed(*words):
        ask = (
            f"COMP_WORDS=({' '.join(words)} ''); COMP_CWORD={len(words)}\n"
            f"_shtab_solartrack; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
        if words[-1].startswith("-") or len(words) > 1:
            ask = ask.replace(" '')", ")").replace(f"COMP_CWORD={len(words)}", f"COMP_CWORD={len(words) - 1}")
        run = subprocess.run(
            [bash, "-c", f"{script}\n{ask}"], capture_output=True, text=True, cwd=tmp_path, timeout=60
        )
        return run.stdout.split()

    assert "track-archive" in completed("solartrack", "tra")
    assert "--config" in completed("solartrack", "track-archive", "--c")
    assert "events.csv" in completed("solartrack", "track-archive", "ev")


def test_zsh_gets_a_script_and_other_shells_an_error(capsys):
    assert cli.main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef solartrack")
    with pytest.raises(SystemExit) as stop:
        cli.main(["completion", "fish"])
    assert stop.value.code == 2


@pytest.mark.skipif(os.name == "nt", reason="interrupts are sent the POSIX way")
def test_interrupted_archive_job_leaves_no_noise(tmp_path):
    # As a terminal does it: the workers are interrupted, too, here one that is starting.
    for number in range(60):
        fits.writeto(tmp_path / f"{number}.fits", np.zeros((64, 64), np.float32))
    script = (
        "import os, signal, sys, time\n"
        "from solartrack import _workers, cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "submit = _workers._Pool.submit\n"
        "def interrupted(*arguments):\n"
        "    future = submit(*arguments)\n"
        "    time.sleep(0.2)\n"
        "    os.killpg(0, signal.SIGINT)\n"
        "    return future\n"
        "_workers._Pool.submit = interrupted\n"
        "if __name__ == '__main__': sys.exit(cli.main(sys.argv[1:]))\n"
    )
    (tmp_path / "job.py").write_text(script)
    command = ["features", str(tmp_path), "-o", str(tmp_path / "out"), "--workers", "2"]
    done = subprocess.run(
        [sys.executable, str(tmp_path / "job.py"), *command],
        capture_output=True, text=True, start_new_session=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "solartrack: warning: interrupted\n")
