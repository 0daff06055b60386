"""Where the official weights lie, as their authors and the usual distributions publish them.

Facts, with their sources: what the authors' READMEs link; for RIFE 4.x the release assets of vs-rife, which keep the
author's files; for IFRNet's small and large networks those of ComfyUI-Frame-Interpolation. A SHA-256 stands here where
two independent records of the file agree on it; torchvision's file names carry the first eight digits of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from kairos.errors import BadRequest

_FILM = "https://github.com/dajes/frame-interpolation-pytorch/releases/download/v1.0.2/"
_RIFE = "https://github.com/HolyWu/vs-rife/releases/download/model/"
_IFRNET = "https://github.com/Fannovel16/ComfyUI-Frame-Interpolation/releases/download/models/"
_AMT = "https://huggingface.co/lalala125/AMT/resolve/main/"
_GIMM = "https://huggingface.co/GSean/GIMM-VFI/resolve/main/"
_RAFT = "https://download.pytorch.org/models/"

_RAM = "https://huggingface.co/xinyu1205/recognize_anything_model/resolve/main/"

_IFRNET_PAGE = "https://github.com/ltkong218/IFRNet (folder checkpoints)"
_RIFE_PAGE = "https://github.com/hzwer/ECCV2022-RIFE (Evaluation)"
_EMA_PAGE = "https://github.com/MCG-NJU/EMA-VFI (folder ckpt)"
_RAFT_PAGE = "https://github.com/princeton-vl/RAFT (models.zip)"
_RAM_PAGE = "https://huggingface.co/xinyu1205/recognize_anything_model"


@dataclass(frozen=True)
class Place:
    """Where official weights are published.

    Attributes:
        name: for ``kairos weights fetch``; the stored weights get it too.
        architecture: id of their network.
        file: its name there.
        url: where it can be downloaded without a visit; empty where only the authors' page leads to it.
        page: the authors' page, for people.
        sha256: of the file, or its first digits; empty where nobody publishes it.
        note: what sets these weights apart.
    """

    name: str
    architecture: str
    file: str
    url: str
    page: str
    sha256: str = ""
    note: str = ""

    def by_hand(self) -> str:
        """In one line, how to come by the weights without ``fetch``."""
        where = self.url or f"{self.page}, {self.file}"
        return f"Download {where}, then run kairos weights add {self.file} --name {self.name}"


def _film(name: str, file: str, note: str) -> Place:
    return Place(name, "film", file, _FILM + file, "https://github.com/dajes/frame-interpolation-pytorch", note=note)


def _rife(version: str, sha256: str) -> Place:
    file = f"flownet_v{version}.pkl"
    page = "https://github.com/hzwer/Practical-RIFE"
    return Place(f"rife-{version}", "rife", file, _RIFE + file, page, sha256, "any time")


def _ifrnet(name: str, file: str, note: str, released: bool = True) -> Place:
    return Place(name, "ifrnet", file, _IFRNET + file if released else "", _IFRNET_PAGE, note=note)


def _amt(name: str, file: str, note: str) -> Place:
    return Place(name, "amt", file, _AMT + file, "https://github.com/MCG-NKU/AMT", note=note)


def _ema(name: str, file: str, note: str) -> Place:
    return Place(name, "ema", file, "", _EMA_PAGE, note=note)


def _gimm(name: str, architecture: str, file: str, note: str) -> Place:
    return Place(name, architecture, file, _GIMM + file, "https://github.com/GSeanCDAT/GIMM-VFI", note=note)


def _raft(name: str, file: str, note: str) -> Place:
    sha256 = file.rpartition("-")[2].removesuffix(".pth")
    page = "https://docs.pytorch.org/vision/stable/models/raft.html"
    return Place(name, "raft", file, _RAFT + file, page, sha256, note)


CATALOGUE: Tuple[Place, ...] = (
    _film("film", "film_net_fp32.pt", "Style training, middle frames"),
    _film("film-fp16", "film_net_fp16.pt", "the same in half precision: half the download"),
    _rife("4.6", "008646e761f0e67cb77f0c6c44cfe3c3e5a05d9d9465311b9681ca650ce030db"),
    _rife("4.25", "6615790efd627772917205db291f51cd392528a157ecbb2ecaeec3bff8eb6de2"),
    _rife("4.26", "45c7f74156704769dc9f85cfcaf8552e1e926f9399dcfa3a553dee88fac6f53f"),
    Place("rife-paper", "rife", "flownet.pkl", "", _RIFE_PAGE, note="RIFE model: middle frames"),
    Place("rife-paper-m", "rife", "flownet.pkl", "", _RIFE_PAGE, note="RIFE_m model: any time"),
    _ifrnet("ifrnet-s", "IFRNet_S_Vimeo90K.pth", "small, middle frames"),
    _ifrnet("ifrnet-l", "IFRNet_L_Vimeo90K.pth", "large, middle frames"),
    _ifrnet("ifrnet-s-gopro", "IFRNet_S_GoPro.pth", "small, any time"),
    _ifrnet("ifrnet-l-gopro", "IFRNet_L_GoPro.pth", "large, any time"),
    _ifrnet("ifrnet", "IFRNet_Vimeo90K.pth", "middle frames", released=False),
    _ifrnet("ifrnet-gopro", "IFRNet_GoPro.pth", "any time", released=False),
    _amt("amt-s", "amt-s.pth", "small, middle frames"),
    _amt("amt-l", "amt-l.pth", "large, middle frames"),
    _amt("amt-g", "amt-g.pth", "largest, middle frames"),
    _amt("amt-s-gopro", "gopro_amt-s.pth", "small, any time"),
    _ema("ema-small", "ours_small.pkl", "small, middle frames"),
    _ema("ema-small-t", "ours_small_t.pkl", "small, any time"),
    _ema("ema", "ours.pkl", "full, middle frames"),
    _ema("ema-t", "ours_t.pkl", "full, any time"),
    _gimm("gimm", "gimm", "gimm.pt", "the motion alone"),
    _gimm("gimm-vfi-r", "gimm-vfi", "gimmvfi_r_arb.pt", "any time"),
    _gimm("gimm-vfi-r-p", "gimm-vfi", "gimmvfi_r_arb_lpips.pt", "any time, trained for perceived likeness"),
    _raft("raft", "raft_large_C_T_SKHT_V2-ff5fadd5.pth", "large, trained on everything"),
    _raft("raft-things", "raft_large_C_T_V1-22a6c225.pth", "large, the authors' raft-things"),
    _raft("raft-small", "raft_small_C_T_V2-01064c6d.pth", "small"),
    Place("raft-sintel", "raft", "raft-sintel.pth", "", _RAFT_PAGE, note="large, for film-like material"),
    Place("ram", "ram", "ram_swin_large_14m.pth", _RAM + "ram_swin_large_14m.pth", _RAM_PAGE, note="tags for regions"),
)


def place(name: str) -> Place:
    """Where weights of that name are published. Raises BadRequest for an unknown name."""
    for each in CATALOGUE:
        if each.name == name:
            return each
    raise BadRequest(
        f"No official weights are known as {name!r}.", f"Choose of {', '.join(p.name for p in CATALOGUE)}."
    )


def first_place(architecture: str) -> Optional[Place]:
    """What to fetch for an engine that has no weights yet, those that need no visit first."""
    own = [each for each in CATALOGUE if each.architecture == architecture]
    return next((each for each in own if each.url), own[0] if own else None)
