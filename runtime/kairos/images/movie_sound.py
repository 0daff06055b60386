"""Sound on its way from one movie to another, packet by packet, never decoded."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet


class SoundCopy:
    """The sound tracks of one movie that are copied into another; made by :meth:`of`."""

    def __init__(
        self, source: InputContainer, tracks: Dict[int, AudioStream], target: OutputContainer, start: Fraction
    ) -> None:
        self._source, self._tracks, self._target, self._start = source, tracks, target, start
        self._packets: Iterator[Packet[Any]] = source.demux(*[source.streams[index] for index in tracks])
        self._held: Optional[Packet[Any]] = None

    @classmethod
    def of(cls, path: Path, target: OutputContainer, start: Fraction, warnings: List[str]) -> Optional[SoundCopy]:
        """Sound tracks of a file that the target can hold; None without any."""
        source = av.open(str(path))
        tracks: Dict[int, AudioStream] = {}
        for stream in source.streams.audio:
            if stream.codec_context.name in target.supported_codecs or _holds(target, stream):
                tracks[stream.index] = target.add_stream_from_template(stream)
            else:
                warnings.append(
                    f"Sound in {stream.codec_context.name} does not fit into this kind of file and was left out."
                )
        if not tracks:
            source.close()
            return None
        return cls(source, tracks, target, start)

    def copy_until(self, time: Fraction) -> None:
        """Copies packets that begin before ``time`` (seconds from the first frame)."""
        while True:
            packet = self._held or next(self._packets, None)
            self._held = None
            if packet is None:
                return
            if packet.pts is None or packet.time_base is None:
                continue
            begins = packet.pts * packet.time_base - self._start
            if begins >= time:
                self._held = packet
                return
            # What lies before 0 of the whole sound primes its decoder and is kept.
            if self._start > 0 and begins + (packet.duration or 0) * packet.time_base <= 0:
                continue
            shift = round(self._start / packet.time_base)
            packet.pts -= shift
            packet.dts = packet.dts - shift if packet.dts is not None else None
            packet.stream = self._tracks[packet.stream.index]
            self._target.mux(packet)

    def close(self) -> None:
        """Closes the source."""
        self._source.close()


def _holds(target: OutputContainer, stream: AudioStream) -> bool:
    return target.format.name in ("mov", "matroska") and stream.codec_context.name.startswith("pcm")
