"""The bundled runtime: where it is, whether it is ready, and the stages that make it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Mapping, Optional, Tuple

from kairos_installer import check, machine, plan, repair
from kairos_installer.commands import CommandFailed, Commands
from kairos_installer.lock import locked
from kairos_installer.messages import Progress
from kairos_nodes.errors import BadRequest, KairosError

FORMAT = 1
"""Raise when a runtime made by an older installer must be gone through again; the launchers know the same number."""

MARKER = "kairos-runtime.txt"
_PIP_REPORTS_SAFELY = (23, 2)
"""From here on pip asks an index for a package's metadata alone; before, a dry run may download gigabytes."""

_QUIET_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
_INSTALL = ("install", "--no-warn-script-location", "--progress-bar=off")

_PRINT_DEPENDENCIES = """
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
print("\\n".join(project["dependencies"] if sys.argv[2] == "" else project["optional-dependencies"][sys.argv[2]]))
"""


@dataclass(frozen=True)
class Runtime:
    """A runtime for one checkout.

    Attributes:
        checkout: the repository's folder.
        directory: where the runtime lives: ``env`` (the environment), ``stamps``, ``install.log``, ``lock``.
    """

    checkout: Path
    directory: Path

    @classmethod
    def of(cls, checkout: Path, environment: Mapping[str, str]) -> Runtime:
        """The runtime that a checkout uses.

        That is KAIROS_RUNTIME, else ``.runtime`` in the checkout, else, where that cannot be written to, one in the
        user's data folder.
        """
        given = environment.get("KAIROS_RUNTIME")
        if given:
            return cls(checkout, Path(given).expanduser().absolute())
        own = checkout / ".runtime"
        if os.access(own if own.exists() else checkout, os.W_OK):
            return cls(checkout, own)
        key = hashlib.sha256(str(checkout).encode()).hexdigest()[:12]
        return cls(checkout, user_data(environment) / "kairos" / f"runtime-{key}")

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.directory / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    @property
    def log(self) -> Path:
        """What pip and the others said."""
        return self.directory / "install.log"

    @property
    def ready_file(self) -> Path:
        """Names the checkout, in the runtime's first line, when all stages are done."""
        return self.directory / f"ready-{FORMAT}"

    def is_ready(self) -> bool:
        """True where nothing has to be done; the launchers make the same comparison."""
        try:
            return (
                self.ready_file.read_text(encoding="utf-8").splitlines() == [str(self.checkout)]
                and (self.directory / "pyproject.toml").read_bytes() == (self.checkout / "pyproject.toml").read_bytes()
                and self.python.exists()
            )
        except OSError:
            return False


def user_data(environment: Mapping[str, str]) -> Path:
    """The folder that the system gives to a user's application data."""
    home = Path(environment.get("HOME") or Path.home())
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData/Local")
    if sys.platform == "darwin":
        return home / "Library/Application Support"
    return Path(environment.get("XDG_DATA_HOME") or home / ".local/share")


@dataclass(frozen=True)
class Stage:
    """One step of the making: done when its stamp holds its key."""

    id: str
    title: str
    key: str
    work: Callable[[], None]


class Builder:
    """Makes a runtime, or mends it.

    Args:
        runtime: what to make.
        environment: the launcher's own variables.
        commands: runs the commands.
        nvidia: whether an NVIDIA driver answers; asked of the machine where None.
    """

    def __init__(
        self, runtime: Runtime, environment: Mapping[str, str], commands: Commands, nvidia: Optional[bool] = None
    ) -> None:
        self._runtime = runtime
        self._environment = environment
        self._commands = commands
        override = environment.get("KAIROS_TORCH", "")
        self._override = override
        self._nvidia = machine.has_nvidia() if nvidia is None else nvidia
        self._build = plan.wanted_build(platform.system(), self._nvidia, override)

    def stages(self, testing: bool) -> List[Stage]:
        """What has to be done, in order. A stage's key holds those before it: one change redoes what follows."""
        project = hashlib.sha256((self._runtime.checkout / "pyproject.toml").read_bytes()).hexdigest()
        title = plan.plan(platform.system(), self._nvidia, self._override).title
        steps: List[Tuple[str, str, str, Callable[[], None]]] = [
            ("environment", "private Python environment", "", self._make_environment),
            ("torch", title, f"{plan.TORCH} {self._build}", self._install_torch),
            ("packages", "image libraries", project, self._install_packages),
            ("checkout", "Kairos itself", str(self._runtime.checkout), self._link_checkout),
            ("check", "check", "", self._check),
        ]
        if testing:
            steps.append(("dev", "test tools", "", self._install_dev))
        stages, before = [], f"{FORMAT}"
        for name, text, content, work in steps:
            before = hashlib.sha256(f"{before} {name} {content}".encode()).hexdigest()
            stages.append(Stage(name, text, before, work))
        return stages

    def is_done(self, stage: Stage) -> bool:
        """True where the stage's stamp holds its key (and, for the environment, where it still runs)."""
        try:
            stamped = self._stamp(stage.id).read_text(encoding="ascii").strip() == stage.key
        except (OSError, UnicodeDecodeError):
            return False
        if stage.id == "environment" and stamped:
            python = machine.probe([str(self._runtime.python)])
            return python is not None and python.version in machine.VERSIONS
        return stamped

    def run(self, stage: Stage) -> None:
        """Does one stage and stamps it. A stage that was begun and never stamped is cleaned up first."""
        begun = self._stamp(f"{stage.id}.begun")
        self._stamp(stage.id).unlink(missing_ok=True)
        if begun.exists() and stage.id != "environment":
            self._commands.run([self._python, "-I", str(Path(repair.__file__))])
        begun.parent.mkdir(parents=True, exist_ok=True)
        begun.write_text("")
        stage.work()
        _write(self._stamp(stage.id), stage.key)
        begun.unlink()

    @property
    def _python(self) -> str:
        return str(self._runtime.python)

    def _stamp(self, name: str) -> Path:
        return self._runtime.directory / "stamps" / name

    def _pip(self, *arguments: str) -> str:
        return self._commands.run([self._python, *_QUIET_PIP, *arguments])

    def _make_environment(self) -> None:
        directory = self._runtime.directory
        shutil.rmtree(directory / "env", ignore_errors=True)
        for stamp in (directory / "stamps").iterdir():
            if stamp.name != "environment.begun":
                stamp.unlink()
        python = machine.find_python(self._environment)
        self._commands.run([python.path, "-I", "-m", "venv", str(directory / "env")])

    def _install_torch(self) -> None:
        found = re.search(r"pip (\d+)\.(\d+)", self._pip("--version"))
        if found is not None and (int(found[1]), int(found[2])) < _PIP_REPORTS_SAFELY:
            self._pip(*_INSTALL, "--upgrade", "pip")
        steps = plan.plan(platform.system(), self._nvidia, self._override, self._offered())
        failure: Optional[CommandFailed] = None
        for tool, *arguments in steps.attempts:
            try:
                if tool == "uv":
                    self._uv(*arguments)
                else:
                    self._pip(*_INSTALL, *arguments)
                return
            except CommandFailed as error:
                failure = error
        assert failure is not None
        raise failure

    def _offered(self) -> Optional[str]:
        """The version of torch that pip would fetch, with its local part; None where pip cannot say."""
        arguments = ("install", "--dry-run", "--no-deps", "--ignore-installed", "--quiet", "--report")
        report = self._runtime.directory / "offered.json"
        try:
            self._pip(*arguments, str(report), plan.TORCH)
            return str(json.loads(report.read_text(encoding="utf-8"))["install"][0]["metadata"]["version"])
        except (CommandFailed, OSError, ValueError, LookupError):
            return None
        finally:
            report.unlink(missing_ok=True)

    def _uv(self, *arguments: str) -> None:
        """Installs by uv, which knows where torch's builds are, with pip's own settings."""
        self._pip(*_INSTALL, "uv")
        settings = {"UV_NO_PROGRESS": "1", "UV_NO_CONFIG": "1"}
        for ours, theirs in (("PIP_CERT", "SSL_CERT_FILE"), ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")):
            if ours in self._environment and theirs not in self._environment:
                settings[theirs] = self._environment[ours]
        self._commands.run([self._python, "-m", "uv", "pip", "install", "--python", self._python, *arguments], settings)

    def _install_packages(self) -> None:
        self._install_listed("", "gpu" if self._build == "cuda" else "cpu")

    def _install_dev(self) -> None:
        self._install_listed("dev")

    def _install_listed(self, *extras: str) -> None:
        """Installs dependencies that pyproject.toml lists, around the torch that is there."""
        project, directory = str(self._runtime.checkout / "pyproject.toml"), self._runtime.directory
        lines = [self._commands.run([self._python, "-I", "-c", _PRINT_DEPENDENCIES, project, name]) for name in extras]
        wanted, pinned = directory / "requirements.txt", directory / "constraints.txt"
        _write(wanted, "\n".join(lines))
        _write(pinned, plan.TORCH)
        self._pip(*_INSTALL, "--requirement", str(wanted), "--constraint", str(pinned))

    def _link_checkout(self) -> None:
        """Puts the checkout's own packages on the environment's path."""
        code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
        packages = Path(self._commands.run([self._python, "-I", "-c", code]).strip())
        paths = [str(self._runtime.checkout / folder) for folder in ("runtime", "nodes", "installer")]
        _write(packages / "kairos.pth", "\n".join(paths))

    def _check(self) -> None:
        try:
            self._commands.run([self._python, "-I", str(Path(check.__file__))])
        except CommandFailed as error:
            broken = [line[7:] for line in error.output.splitlines() if line.startswith("error: ")]
            # What does not load is installed anew next time: its stage is no longer done.
            self._stamp("packages").unlink(missing_ok=True)
            raise CommandFailed("; ".join(broken) or error.message, error.remedy, error.output) from None


def ensure(runtime: Runtime, environment: Mapping[str, str], testing: bool = False) -> None:
    """Makes the runtime ready. Quick where it is; only one process builds at a time.

    Args:
        runtime: what to make.
        environment: the launcher's variables.
        testing: with the tools that ``kairos test`` needs.

    Raises:
        KairosError: what went wrong, with the log's path.
    """
    try:
        _ensure(runtime, environment, testing)
    except OSError as error:
        reason = error.strerror or str(error)
        raise KairosError(f"The runtime in {runtime.directory} cannot be made: {reason}.", "") from error


def _ensure(runtime: Runtime, environment: Mapping[str, str], testing: bool) -> None:
    if runtime.is_ready() and not testing and not environment.get("KAIROS_TORCH"):
        return
    _claim(runtime.directory)
    progress = Progress([])
    with locked(
        runtime.directory / "lock",
        lambda holder: progress.say(f"the runtime is being made by another process ({holder}); waiting for it."),
    ) as descriptor:
        variables = machine.clean_environment(environment)
        commands = Commands(runtime.log, variables, lambda word: progress.tick(word), descriptor)
        builder = Builder(runtime, environment, commands)
        stages = builder.stages(testing)
        to_do = [index for index, stage in enumerate(stages) if not builder.is_done(stage)]
        if not to_do and runtime.is_ready():
            return
        # From the first stage that is not done on, all that follow: their keys hold it.
        first = to_do[0] if to_do else len(stages)
        runtime.ready_file.unlink(missing_ok=True)
        progress = Progress([stage.title for stage in stages])
        if first < len(stages):
            what = "preparing" if first < 2 else "updating"
            progress.say(f"{what} the runtime in {runtime.directory} (once; a few minutes)")
        for index in range(first, len(stages)):
            progress.begin(index)
            try:
                builder.run(stages[index])
            except BaseException:
                progress.end(done=False)
                raise
            progress.end()
        shutil.copyfile(runtime.checkout / "pyproject.toml", runtime.directory / "pyproject.toml")
        _write(runtime.ready_file, str(runtime.checkout))


def _claim(directory: Path) -> None:
    """Makes the runtime's folder, and marks it as ours. Raises BadRequest for a folder that holds something else."""
    marker = directory / MARKER
    if marker.exists():
        return
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise BadRequest(
            f"{directory} is not empty and no runtime of Kairos.", "Point KAIROS_RUNTIME at a new or empty folder."
        )
    directory.mkdir(parents=True, exist_ok=True)
    marker.write_text("The runtime of Kairos. It can be deleted; the launcher makes it again.\n", encoding="utf-8")


def _write(path: Path, text: str) -> None:
    """Writes a small file whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
