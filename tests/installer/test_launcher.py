"""The launcher is quick where the runtime is ready; arguments, exit status and signals pass through it."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict

import pytest

from kairos_installer import testing
from kairos_installer.runtime import FORMAT, Runtime
from support.shared import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shell launcher")

STUB = """#!/bin/sh
# In place of the environment's Python: says what it was given.
case $4 in
    status) exit "$5" ;;
    sleep) echo $$; exec sleep 30 ;;
esac
for argument; do printf '<%s>' "$argument"; done
printf '[%s]' "$PYTHONPATH"
"""


def _executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in a folder with a space in its name, whose runtime is ready."""
    folder = (tmp_path / "my checkout").resolve()
    folder.mkdir()
    shutil.copy2(ROOT / "kairos", folder / "kairos")
    (folder / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    runtime = Runtime.of(folder, {})
    _executable(runtime.python, STUB)
    shutil.copy2(folder / "pyproject.toml", runtime.directory / "pyproject.toml")
    runtime.ready_file.write_text(f"{folder}\n", encoding="utf-8")
    assert runtime.is_ready()
    return folder


def _environment(folder: Path, **more: str) -> Dict[str, str]:
    """The variables of an almost empty shell, with a ``python3`` that says that the long way was taken."""
    _executable(folder / "bin" / "python3", '#!/bin/sh\n[ "$3" = "${3#import sys; sys.exit}" ] && echo long\nexit 0\n')
    return {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", **more}


def _launch(command: Path, *arguments: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = _environment(folder, **more)
    return subprocess.run(
        [str(command), *arguments], capture_output=True, text=True, env=environment, cwd="/", check=False
    )


def test_arguments_pass_through_untouched_and_the_hosts_python_does_not(checkout: Path, tmp_path: Path) -> None:
    answer = _launch(checkout / "kairos", "retime", "a b.exr", "", "$HOME *", folder=tmp_path, PYTHONPATH="/host")
    assert answer.stdout == "<-I><-m><kairos><retime><a b.exr><><$HOME *>[]"


def test_the_launcher_works_through_symbolic_links(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "first").symlink_to(Path("..") / checkout.name / "kairos")
    (tmp_path / "second").symlink_to(tmp_path / "links" / "first")
    assert _launch(tmp_path / "second", "info", folder=tmp_path).stdout == "<-I><-m><kairos><info>[]"


def test_the_exit_status_passes_through(checkout: Path, tmp_path: Path) -> None:
    assert [_launch(checkout / "kairos", "status", code, folder=tmp_path).returncode for code in "0123"] == [0, 1, 2, 3]


def test_a_signal_reaches_the_command_itself(checkout: Path, tmp_path: Path) -> None:
    command = [str(checkout / "kairos"), "sleep"]
    process = subprocess.Popen(command, env=_environment(tmp_path), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        # The command has taken the launcher's place: whoever signals the one signals the other.
        assert int(process.stdout.readline()) == process.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == -signal.SIGTERM


def test_a_ready_runtime_costs_less_than_a_tenth_of_a_second(checkout: Path, tmp_path: Path) -> None:
    environment, seconds = _environment(tmp_path), []
    for _ in range(9):
        begun = time.perf_counter()
        subprocess.run([str(checkout / "kairos"), "status", "0"], env=environment, check=True)
        seconds.append(time.perf_counter() - begun)
    assert statistics.median(seconds) < 0.1


@pytest.mark.parametrize("change", ["pyproject", "moved", "python", "unready", "test", "torch"])
def test_whatever_is_not_ready_takes_the_long_way(checkout: Path, tmp_path: Path, change: str) -> None:
    runtime, more, command = Runtime.of(checkout, {}), {}, "info"
    if change == "pyproject":
        (checkout / "pyproject.toml").write_text("[project]\nname='new'\n", encoding="utf-8")
    elif change == "moved":
        runtime.ready_file.write_text("/elsewhere\n", encoding="utf-8")
    elif change == "python":
        runtime.python.unlink()
    elif change == "unready":
        runtime.ready_file.unlink()
    elif change == "test":
        command = "test"
    else:
        more = {"KAIROS_TORCH": "cpu"}
    assert _launch(checkout / "kairos", command, folder=tmp_path, **more).stdout == "long\n"
    assert runtime.is_ready() is (change in ("test", "torch"))


def test_without_any_python_the_artist_learns_what_to_install(checkout: Path, tmp_path: Path) -> None:
    Runtime.of(checkout, {}).ready_file.unlink()
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "readlink", "cmp"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    answer = subprocess.run(
        [str(checkout / "kairos"), "info"], capture_output=True, text=True, env={"PATH": str(tools)}, check=False
    )
    assert answer.returncode == 1
    assert "Install Python 3.11" in answer.stderr


@pytest.mark.parametrize("name", ["kairos", "kairos.cmd"])
def test_launchers_and_installer_agree_on_the_runtimes_format(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert f"ready-{FORMAT}" in text
    assert "ready-" not in text.replace(f"ready-{FORMAT}", "")


def test_launchers_are_executable() -> None:
    assert os.access(ROOT / "kairos", os.X_OK)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_kairos_test_checks_style_types_and_behaviour() -> None:
    assert [title for title, _ in testing.checks(2, [])] == ["ruff check", "ruff format", "mypy", "pytest"]
    assert testing.checks(2, ["-k", "warp"]) == [("pytest", ["-m", "pytest", "-k", "warp"])]


def test_two_processes_share_the_suite_by_whole_files() -> None:
    told = testing.checks(2, [])[-1][1]
    assert told[told.index("-n") + 1] == "2" and told[told.index("--dist") + 1] == "loadfile"


def test_the_summary_names_what_failed() -> None:
    outcomes = [testing.Outcome("mypy", 1, 12.4, "2 errors"), testing.Outcome("pytest", 0, 9.0, "3 passed in 8.90s")]
    assert testing.summary(outcomes) == "== mypy FAILED in 12 s, pytest passed: 3 passed in 8.90s"


def test_kairos_test_fails_where_one_check_fails_and_quotes_pytest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    script = "import sys; print('== 1 failed, 2 passed in 0.5s =='); sys.exit(int(sys.argv[1]))"
    monkeypatch.setattr(testing, "checks", lambda *_: [("mypy", ["-c", script, "0"]), ("pytest", ["-c", script, "1"])])
    runtime = Runtime(tmp_path, tmp_path)
    monkeypatch.setattr(Runtime, "python", property(lambda self: Path(sys.executable)))
    assert testing.run(runtime, [], dict(os.environ)) == 1
    last = capfdbinary.readouterr().out.decode().splitlines()[-1]
    assert last == "== mypy passed in 0 s, pytest FAILED: 1 failed, 2 passed in 0.5s"
