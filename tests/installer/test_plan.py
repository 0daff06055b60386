"""Every machine gets the build of torch that fits it."""

from __future__ import annotations

from typing import Optional

import pytest

from kairos_installer.plan import TORCH, plan
from kairos_nodes.errors import BadRequest

PIP = ("pip", TORCH)
UV_CPU = ("uv", "--torch-backend=cpu", TORCH)
UV_CUDA = ("uv", "--torch-backend=auto", TORCH)


@pytest.mark.parametrize(
    ("system", "nvidia", "override", "offered", "attempts", "extra"),
    [
        # The default index: CUDA build on Linux, CPU build on Windows and macOS, none with a local version.
        pytest.param("Linux", True, "", "2.13.0", [PIP], "gpu", id="linux-gpu"),
        pytest.param("Linux", False, "", "2.13.0", [UV_CPU, PIP], "cpu", id="linux-cpu"),
        pytest.param("Windows", True, "", "2.13.0", [UV_CUDA], "gpu", id="windows-gpu"),
        pytest.param("Windows", False, "", "2.13.0", [PIP], "cpu", id="windows-cpu"),
        pytest.param("Darwin", False, "", "2.13.0", [PIP], "cpu", id="mac"),
        # A studio's own index or folder.
        pytest.param("Linux", False, "", "2.13.0+cpu", [PIP], "cpu", id="linux-cpu-studio-cpu"),
        pytest.param("Linux", False, "", "2.13.0+cu130", [UV_CPU, PIP], "cpu", id="linux-cpu-studio-cuda"),
        pytest.param("Linux", True, "", "2.13.0+cpu", [UV_CUDA], "gpu", id="linux-gpu-studio-cpu"),
        pytest.param("Linux", True, "", "2.13.0+cu130", [PIP], "gpu", id="linux-gpu-studio-cuda"),
        pytest.param("Windows", True, "", "2.13.0+cu130", [PIP], "gpu", id="windows-gpu-studio-cuda"),
        pytest.param("Windows", False, "", "2.13.0+cu130", [UV_CPU, PIP], "cpu", id="windows-cpu-studio-cuda"),
        # pip could not say what it would fetch.
        pytest.param("Linux", False, "", None, [UV_CPU, PIP], "cpu", id="linux-cpu-unknown"),
        pytest.param("Linux", True, "", None, [PIP], "gpu", id="linux-gpu-unknown"),
        pytest.param("Windows", True, "", None, [UV_CUDA], "gpu", id="windows-gpu-unknown"),
        pytest.param("Windows", False, "", None, [PIP], "cpu", id="windows-cpu-unknown"),
        # KAIROS_TORCH.
        pytest.param("Linux", True, "cpu", "2.13.0", [UV_CPU, PIP], "cpu", id="linux-gpu-told-cpu"),
        pytest.param("Linux", False, "cuda", "2.13.0", [PIP], "gpu", id="linux-cpu-told-cuda"),
        pytest.param("Windows", True, "cpu", "2.13.0", [PIP], "cpu", id="windows-gpu-told-cpu"),
        pytest.param("Darwin", False, "cpu", "2.13.0", [PIP], "cpu", id="mac-told-cpu"),
    ],
)
def test_torch_for(
    system: str, nvidia: bool, override: str, offered: Optional[str], attempts: list[tuple[str, ...]], extra: str
) -> None:
    made = plan(system, nvidia, override, offered)
    assert list(made.attempts) == attempts
    assert made.extra == extra


@pytest.mark.parametrize(("system", "override"), [("Linux", "rocm"), ("Darwin", "cuda")])
def test_an_override_that_cannot_be_is_refused(system: str, override: str) -> None:
    with pytest.raises(BadRequest, match="KAIROS_TORCH"):
        plan(system, False, override)


def test_the_pinned_torch_is_the_projects_own() -> None:
    import tomllib

    from support.shared import ROOT

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert TORCH in project["dependencies"]
    assert {"cpu", "gpu", "farm", "export", "regions", "inbetween", "dev"} == set(project["optional-dependencies"])
