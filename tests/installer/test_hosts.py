"""Hosts are found where they are on each system, and an artist learns where they were looked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import List, Tuple

import pytest

from kairos_installer.hosts import HOSTS, System, install, states, uninstall
from kairos_nodes.errors import BadRequest
from support.hosts import machine, small_kairos, write
from support.shared import ROOT


def _found(system: System, host: str) -> List[Tuple[str, str]]:
    """Titles of the hosts that are found, and their places below the machine's folder."""
    targets = HOSTS[host].find(system)
    return [(target.title, target.place.relative_to(system.root).as_posix()) for target in targets]


def _refused(system: System, host: str, *paths: Path) -> str:
    with pytest.raises(BadRequest) as refusal:
        install(host, system, print, paths=paths)
    return str(refusal.value)


LINUX, MAC, WINDOWS = "linux", "darwin", "win32"

BLENDER_SETTINGS = {
    LINUX: "home/ada/.config/blender",
    MAC: "Users/ada/Library/Application Support/Blender",
    WINDOWS: "Users/ada/AppData/Roaming/Blender Foundation/Blender",
}
BLENDER_PROGRAMS = {
    LINUX: "opt/blender-{0}.1-linux-x64/blender",
    MAC: "Applications/Blender {0}.app/Contents/MacOS/Blender",
    WINDOWS: "Program Files/Blender Foundation/Blender {0}/blender.exe",
}
BESIDE = {LINUX: "{0}/scripts", MAC: "../Resources/{0}/scripts", WINDOWS: "{0}/scripts"}


def _blender(folder: Path, platform: str, version: str) -> Path:
    """A Blender's program with the folder of its version beside it, as releases have it."""
    program = write(folder / BLENDER_PROGRAMS[platform].format(version), mode=0o755)
    (program.parent / BESIDE[platform].format(version)).mkdir(parents=True)
    return program


@pytest.mark.parametrize("platform", [LINUX, MAC, WINDOWS])
def test_every_blender_is_found_by_its_program_or_its_settings(tmp_path: Path, platform: str) -> None:
    system, settings = machine(platform, tmp_path), BLENDER_SETTINGS[platform]
    program = _blender(tmp_path, platform, "4.5")
    for version in ("4.2", "4.5", "5.0", "3.6"):
        (tmp_path / settings / version).mkdir(parents=True)
    (tmp_path / settings / "not a version").mkdir()
    assert _found(system, "blender") == [
        (f"Blender {version}", f"{settings}/{version}/extensions/user_default")
        for version in ("5.0", "4.5", "4.2", "3.6")
    ]
    targets = {target.title: target for target in HOSTS["blender"].find(system)}
    assert {title for title, target in targets.items() if target.program == program} == {"Blender 4.5"}
    assert {title for title, target in targets.items() if target.why_not} == {"Blender 3.6"}


def test_a_blender_that_was_never_started_is_found_and_not_made_to_save_preferences(tmp_path: Path) -> None:
    system = machine(LINUX, tmp_path)
    _blender(tmp_path, LINUX, "4.5")
    (target,) = HOSTS["blender"].find(system)
    assert not target.ready
    (tmp_path / "home/ada/.config/blender/4.5/config").mkdir(parents=True)
    (target,) = HOSTS["blender"].find(system)
    assert target.ready


def test_blenders_own_variables_name_the_one_place(tmp_path: Path) -> None:
    _blender(tmp_path, LINUX, "4.5")
    (tmp_path / "home/ada/.config/blender/4.2").mkdir(parents=True)
    resources = machine(LINUX, tmp_path, BLENDER_USER_RESOURCES=str(tmp_path / "studio"))
    assert _found(resources, "blender") == [("Blender 4.5", "studio/extensions/user_default")]
    extensions = machine(LINUX, tmp_path, BLENDER_USER_EXTENSIONS=str(tmp_path / "shared"))
    assert _found(extensions, "blender") == [("Blender 4.5", "shared/user_default")]


def test_portable_and_boxed_blenders_have_settings_of_their_own(tmp_path: Path) -> None:
    system = machine(LINUX, tmp_path)
    (_blender(tmp_path, LINUX, "4.5").parent / "portable").mkdir()
    (tmp_path / "home/ada/.var/app/org.blender.Blender/config/blender/4.3").mkdir(parents=True)
    assert _found(system, "blender") == [
        ("Blender 4.5", "opt/blender-4.5.1-linux-x64/portable/extensions/user_default"),
        ("Blender 4.3", "home/ada/.var/app/org.blender.Blender/config/blender/4.3/extensions/user_default"),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="a program made by a shell script")
def test_a_program_on_the_path_says_which_blender_it_is(tmp_path: Path) -> None:
    write(tmp_path / "bin" / "blender", "#!/bin/sh\necho 'Blender 4.4.3 (hash)'\n", 0o755)
    system = machine(sys.platform, tmp_path, PATH=str(tmp_path / "bin"))
    assert [title for title, _ in _found(system, "blender")] == ["Blender 4.4"]


@pytest.mark.parametrize("named", ["program", "folder", "settings", "repository"])
def test_a_blender_can_be_named_in_any_way(tmp_path: Path, named: str) -> None:
    system, program = machine(LINUX, tmp_path), _blender(tmp_path / "elsewhere", LINUX, "4.5")
    settings = tmp_path / "home/ada/.config/blender/4.5"
    (settings / "extensions" / "user_default").mkdir(parents=True)
    paths = {
        "program": program,
        "folder": program.parent,
        "settings": settings,
        "repository": settings / "extensions" / "user_default",
    }
    target = HOSTS["blender"].given(system, paths[named])
    assert (target.title, target.place) == ("Blender 4.5", settings / "extensions" / "user_default")


NUKE_FOLDERS = {LINUX: "home/ada/.nuke", MAC: "Users/ada/.nuke", WINDOWS: "Users/ada/.nuke"}
NUKE_PROGRAMS = {LINUX: "usr/local/Nuke{0}", MAC: "Applications/Nuke{0}", WINDOWS: "Program Files/Nuke{0}"}


@pytest.mark.parametrize("platform", [LINUX, MAC, WINDOWS])
def test_all_nukes_read_the_users_one_folder(tmp_path: Path, platform: str) -> None:
    system = machine(platform, tmp_path)
    for version in ("15.1v3", "16.0v1", "13.2v8"):
        (tmp_path / NUKE_PROGRAMS[platform].format(version)).mkdir(parents=True)
    assert _found(system, "nuke") == [("Nuke 16.0v1, 15.1v3, 13.2v8", NUKE_FOLDERS[platform])]


@pytest.mark.parametrize("platform", [LINUX, MAC, WINDOWS])
def test_a_users_folder_alone_is_a_nuke(tmp_path: Path, platform: str) -> None:
    system = machine(platform, tmp_path)
    (tmp_path / NUKE_FOLDERS[platform]).mkdir()
    assert _found(system, "nuke") == [("Nuke", NUKE_FOLDERS[platform])]


def test_on_windows_nuke_asks_home_first(tmp_path: Path) -> None:
    (tmp_path / "profile" / ".nuke").mkdir(parents=True)
    system = machine(WINDOWS, tmp_path, HOME=str(tmp_path / "profile"))
    assert _found(system, "nuke") == [("Nuke", "profile/.nuke")]


def test_a_nuke_with_an_older_python_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "usr/local/Nuke13.2v8").mkdir(parents=True)
    assert "Kairos needs Nuke 14 or later" in _refused(machine(LINUX, tmp_path), "nuke")


RESOLVE = {
    LINUX: ("opt/resolve/bin/resolve", "home/ada/.local/share/DaVinciResolve/Fusion/Scripts"),
    MAC: (
        "Applications/DaVinci Resolve/DaVinci Resolve.app/Contents/MacOS/Resolve",
        "Users/ada/Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion/Scripts",
    ),
    WINDOWS: (
        "Program Files/Blackmagic Design/DaVinci Resolve/Resolve.exe",
        "Users/ada/AppData/Roaming/Blackmagic Design/DaVinci Resolve/Support/Fusion/Scripts",
    ),
}


@pytest.mark.parametrize("platform", [LINUX, MAC, WINDOWS])
@pytest.mark.parametrize("by", ["program", "data"])
def test_resolve_is_found_by_its_program_or_its_data(tmp_path: Path, platform: str, by: str) -> None:
    program, scripts = RESOLVE[platform]
    if by == "program":
        write(tmp_path / program)
    else:
        (tmp_path / scripts).parents[1].mkdir(parents=True)
    assert _found(machine(platform, tmp_path), "resolve") == [("DaVinci Resolve", scripts)]


def test_resolves_version_is_read_from_its_bundle(tmp_path: Path) -> None:
    text = (
        '<?xml version="1.0"?><plist version="1.0"><dict>'
        "<key>CFBundleShortVersionString</key><string>20.1</string></dict></plist>"
    )
    write(tmp_path / "Applications/DaVinci Resolve/DaVinci Resolve.app/Contents/Info.plist", text)
    assert [title for title, _ in _found(machine(MAC, tmp_path), "resolve")] == ["DaVinci Resolve 20.1"]


@pytest.mark.parametrize("named", ["", "Fusion", "Fusion/Scripts"])
def test_everybodys_resolve_scripts_can_be_named(tmp_path: Path, named: str) -> None:
    (tmp_path / "opt/resolve/Fusion/Scripts").mkdir(parents=True)
    target = HOSTS["resolve"].given(machine(LINUX, tmp_path), tmp_path / "opt/resolve" / named)
    assert target.place == tmp_path / "opt/resolve/Fusion/Scripts"


@pytest.mark.parametrize("platform", [LINUX, MAC, WINDOWS])
@pytest.mark.parametrize("host", sorted(HOSTS))
def test_on_an_empty_machine_nothing_is_found_and_the_artist_learns_why(
    tmp_path: Path, platform: str, host: str
) -> None:
    system = machine(platform, tmp_path)
    assert HOSTS[host].find(system) == []
    said = _refused(system, host)
    assert f"{HOSTS[host].title} was not found. Looked in " in said
    assert str(system.home) in said
    assert f"kairos install {host} --host-path PATH" in said


@pytest.mark.parametrize(
    ("host", "path", "why"),
    [
        ("blender", "no/such", "neither a Blender executable nor a folder of Blender's settings"),
        ("nuke", "no/such", "is no folder"),
        ("nuke", "file", "is no folder"),
        ("nuke", "Nuke15.1v3", "is Nuke itself"),
        ("resolve", "no/such/Scripts", "is no folder for Resolve's scripts"),
        ("resolve", "file", "is no folder for Resolve's scripts"),
    ],
)
def test_a_path_that_cannot_be_the_host_is_refused(tmp_path: Path, host: str, path: str, why: str) -> None:
    write(tmp_path / "file")
    (tmp_path / "Nuke15.1v3" / "plugins").mkdir(parents=True)
    assert why in _refused(machine(LINUX, tmp_path), host, tmp_path / path)


def test_kairos_is_not_installed_into_itself(tmp_path: Path) -> None:
    assert "inside Kairos itself" in _refused(machine(LINUX, tmp_path), "nuke", ROOT / "plugin" / "nuke")


def test_an_unknown_host_is_refused(tmp_path: Path) -> None:
    assert "blender" in _refused(machine(LINUX, tmp_path), "maya")


def test_states_tell_what_is_wrong_and_the_command_that_mends_it(tmp_path: Path) -> None:
    system, kairos = machine(LINUX, tmp_path), small_kairos(tmp_path / "kairos")
    (system.home / ".nuke").mkdir()
    shared = tmp_path / "opt/resolve/Fusion/Scripts"
    shared.mkdir(parents=True)

    def lines() -> List[str]:
        return [state.line for state in states(system, kairos)]

    assert lines() == ["Nuke: without Kairos; kairos install nuke puts it there"]
    install("nuke", system, print, root=kairos)
    install("resolve", system, print, paths=[shared], root=kairos)
    assert lines() == [f"Nuke: Kairos 1.0.0 ({system.home / '.nuke'})", f"DaVinci Resolve: Kairos 1.0.0 ({shared})"]
    write(kairos / "nodes" / "kairos_nodes" / "__init__.py", '__version__ = "1.1.0"\n')
    older = f'its plugin is Kairos 1.0.0, and this is 1.1.0. kairos install resolve --host-path "{shared}" brings'
    assert older in lines()[1]
    broken = shared / "kairos" / "kairos_nodes" / "errors.py"
    broken.write_text("changed")
    assert f"missing or changed: {broken}." in lines()[1]
    other = states(system, small_kairos(tmp_path / "other"))[0]
    assert (
        other.trouble == f"it uses another Kairos, {kairos}." and other.mend == "To use this one: kairos install nuke"
    )
    (record,) = (system.data / "hosts").glob("nuke-*.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "state": "under way"}))
    assert "interrupted" in lines()[0]
    shared.rename(tmp_path / "moved")
    forget = f'Forget it: kairos install resolve --uninstall --host-path "{shared}"'
    assert lines()[1] == f"DaVinci Resolve: {shared} is gone. {forget}"
    uninstall("resolve", system, print, paths=[shared], root=kairos)
    assert len(lines()) == 1
