"""``kairos doctor``: the machine, the runtime and the hosts; what is wrong, and how to mend it."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import platform
import shutil
import sys
import threading
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Callable, Dict, Iterator, List, Optional

import typer

from kairos import __version__
from kairos.errors import KairosError
from kairos_installer.check import LIBRARIES
from kairos_installer.hosts import State, System, states
from kairos_installer.machine import has_nvidia
from kairos_nodes.cache import CACHE_VARIABLE, cache_root
from kairos_nodes.client import Client, log_file, service_folder
from kairos_nodes.client.rendezvous import read_rendezvous
from kairos_nodes.home import known_home

from .house import ROOT, engine_rows

PACKAGES = ("torch", "numpy", "OpenImageIO", "opencolorio", "opencv-python-headless", "av", "onnxruntime", "fileseq")

PATIENCE = 10.0
"""Seconds that a runtime that serves has for its answer."""

SCARCE = 1.0
"""GiB below which a disk is called full: a second of UHD half-float EXR."""

GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        section: ``machine``, ``runtime`` or ``hosts``.
        topic: in a word.
        text: what was found.
        trouble: whether it needs mending.
        mend: how.
    """

    section: str
    topic: str
    text: str
    trouble: bool = False
    mend: str = ""


def add_commands(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Check the machine, the runtime and the hosts' plugins. Ends with 1 where something needs mending."""
    hosts = _or_none(lambda: states(System()))
    findings = [*_machine(), *_runtime(), *_hosts(hosts)]
    wrong = [one for one in findings if one.trouble]
    if as_json:
        report = {
            "version": __version__,
            "well": not wrong,
            "findings": [asdict(one) for one in findings],
            "hosts": [asdict(one) for one in hosts or []],
            "logs": [str(path) for path in _logs()],
        }
        print(json.dumps(report, indent=2))
    else:
        _print(findings, wrong)
    raise typer.Exit(1 if wrong else 0)


def _print(findings: List[Finding], wrong: List[Finding]) -> None:
    for one in findings:
        print(f"{'!' if one.trouble else ' '} {one.topic:12} {one.text}")
    for path in _logs():
        print(f"  {'log':12} {path}")
    if not wrong:
        print("All is well.")
        return
    print(f"{len(wrong)} to mend:")
    for one in wrong:
        print(f"  {one.topic}: {one.mend or one.text}")


def _logs() -> List[Path]:
    from .app import log_path

    return [*([own] if (own := _or_none(log_path)) else []), log_file(service_folder())]


def _machine() -> Iterator[Finding]:
    yield Finding("machine", "kairos", f"{__version__} in {ROOT}")
    yield Finding("machine", "python", f"{platform.python_version()} ({sys.executable})")
    size = memory()
    said = f", {size / GIB:.0f} GiB of memory" if size else ""
    yield Finding("machine", "system", f"{platform.platform()}, {os.cpu_count()} cores{said}")
    yield _device()
    for topic, place, variable in (("cache", cache_root(), CACHE_VARIABLE), ("disk", Path.cwd(), "")):
        yield disk_finding(topic, place, variable)


def _device() -> Finding:
    try:
        torch: Any = importlib.import_module("torch")
        if torch.cuda.is_available():
            names = []
            for index in range(torch.cuda.device_count()):
                # What a broken driver only tells once it has to compute.
                torch.ones(1, device=f"cuda:{index}").add_(1).item()
                free, total = torch.cuda.mem_get_info(index)
                name = torch.cuda.get_device_name(index)
                names.append(f"{name}, {total / GIB:.0f} GiB ({free / GIB:.0f} free)")
            return Finding("machine", "gpu", "; ".join(names))
        if torch.backends.mps.is_available():
            return Finding("machine", "gpu", "Apple's, by Metal (shares the machine's memory)")
        built = torch.version.cuda or "the CPU"
        if has_nvidia():
            mend = "Run the launcher once with KAIROS_TORCH=cuda, and update the NVIDIA driver if that does not help."
            return Finding("machine", "gpu", f"an NVIDIA GPU that torch, built for {built}, cannot use", True, mend)
        return Finding("machine", "gpu", f"none: the CPU computes (torch was built for {built})")
    except Exception as error:  # A broken driver or library may raise anything.
        said = " ".join(str(error).split())
        return Finding("machine", "gpu", f"torch cannot use it: {said}", True, "Update the driver; --device cpu works.")


def memory() -> int:
    """The machine's memory in bytes; 0 where the system does not say."""
    if sys.platform != "win32":
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (ValueError, OSError):
            return 0
    # MEMORYSTATUSEX: two 32-bit words, of which the first is its own size, and seven 64-bit ones.
    status = (ctypes.c_uint64 * 8)(64)
    return int(status[1]) if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else 0


def disk_finding(topic: str, place: Path, variable: str) -> Finding:
    """The space in a folder that may not be there yet; ``variable`` names another one, where there is such."""
    there = next((folder for folder in (place, *place.absolute().parents) if folder.is_dir()), Path("/"))
    elsewhere = f"Make room, or name another folder in {variable}." if variable else "Make room."
    try:
        free = shutil.disk_usage(there).free / GIB
    except OSError as error:
        return Finding("machine", topic, f"{place} cannot be read: {error.strerror}", True, elsewhere)
    if place.exists() and not place.is_dir():
        return Finding("machine", topic, f"{place} is no folder", True, elsewhere)
    if not os.access(there, os.W_OK):
        # Where results of the command line go is the artist's to say; the cache must be there.
        mend = elsewhere if variable else ""
        return Finding("machine", topic, f"no permission to write in {place}", bool(variable), mend)
    scarce = free < SCARCE
    return Finding("machine", topic, f"{free:.1f} GiB free in {place}", scarce, elsewhere if scarce else "")


def _runtime() -> Iterator[Finding]:
    again = "Run the kairos launcher again: it repairs the runtime."
    for package in PACKAGES:
        version = _or_none(lambda package=package: metadata.version(package))  # type: ignore[misc]
        yield Finding("runtime", package, version or "missing", version is None, "" if version else again)
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except Exception as error:  # A broken library may raise anything while it loads.
            said = " ".join(str(error).split())
            yield Finding("runtime", name, f"does not load: {said}", True, again)
    yield from _colour_and_engines()
    yield service_finding()


def _colour_and_engines() -> Iterator[Finding]:
    try:
        from kairos.color import ColorConfig

        yield Finding("runtime", "colour", ColorConfig.load(None).describe())
    except KairosError as error:
        yield Finding("runtime", "colour", error.message, True, error.remedy)
    except ImportError as error:
        yield Finding("runtime", "colour", str(error), True, "Run the kairos launcher again: it repairs the runtime.")
    try:
        rows: List[Dict[str, Any]] = engine_rows()
    except (ImportError, KairosError) as error:
        yield Finding("runtime", "engines", str(error), True, "Run the kairos launcher again: it repairs the runtime.")
        return
    for row in rows:
        yield Finding("runtime", "engine", f"{row['id']}: {row['why_not'] or 'ready'}")
    if all(row["why_not"] for row in rows):
        yield Finding("runtime", "engines", "none can run here", True, "kairos engines says why not.")


def service_finding() -> Finding:
    """The runtime that hosts talk to, where one runs; it is never started."""
    answers: List[Finding] = []

    def ask() -> None:
        answers.append(_ask())

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    mend = "End its process, and the hosts start another one; its log says more."
    return (answers or [Finding("runtime", "service", f"does not answer within {PATIENCE:.0f} s", True, mend)])[0]


def _ask() -> Finding:
    idle = Finding("runtime", "service", "not running; hosts start it by themselves")
    try:
        found = read_rendezvous(service_folder())
        if found is None:
            return idle
        client = Client("kairos doctor", start=False)
        try:
            welcome = client.connect()
            jobs = len(client.jobs())
        finally:
            client.close()
    except KairosError as error:
        return _unreachable(error, idle)
    said = f"Kairos {welcome['version']} serves (process {welcome['pid']}, {jobs} jobs)"
    other = welcome["version"] != __version__
    mend = "Hosts get this Kairos after: kairos serve --stop" if other else ""
    return Finding("runtime", "service", said, other, mend)


def _unreachable(error: KairosError, idle: Finding) -> Finding:
    """One that died left its address behind, which is no trouble: the next request starts another."""
    gone = error.message.startswith("No runtime runs")
    return idle if gone else Finding("runtime", "service", error.message, True, error.remedy)


def _hosts(found: Optional[List[State]]) -> Iterator[Finding]:
    if found is None:
        yield Finding("hosts", "hosts", "could not be looked for: this user has no home folder", True, "Set HOME.")
        return
    for state in found:
        said = state.trouble or state.line.partition(": ")[2]
        yield Finding("hosts", state.host, f"{state.title}: {said}", bool(state.trouble), state.mend)
    if not found:
        yield Finding("hosts", "hosts", "none was found in its standard places; kairos install takes --host-path")
    home = known_home()
    copied = any(state.installed is not None for state in found)
    if copied and home is not None and not home.is_dir():
        again = "Run kairos install for each host again."
        yield Finding("hosts", "home", f"plugins look for Kairos in {home}, which is gone", True, again)


def _or_none(ask: Callable[[], Any]) -> Any:
    """An answer, or None where there is none."""
    try:
        return ask()
    except (ImportError, RuntimeError):
        return None
