"""A failed step says in one line what went wrong."""

from __future__ import annotations

import io

import pytest

from kairos_installer.messages import Progress, explain


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError('Failed to establish a new connection: "
            "[Errno -2] Name or service not known')'\nERROR: No matching distribution found for torch==2.13.0",
            "cannot be reached",
        ),
        ("error: Request failed after 3 retries\n  cause: dns error", "cannot be reached"),
        ("SSLError(SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED)", "PIP_CERT"),
        (
            "ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)\n"
            "ERROR: No matching distribution found for torch==2.13.0",
            "No torch==2.13.0 was found",
        ),
        ("ERROR: Could not find a version\nERROR: No matching distribution found for av<19", "found for av<19"),
        ("noise\nlast words\n", "last words"),
        ("", "without a word"),
    ],
)
def test_explain(output: str, said: str) -> None:
    line = explain(output)
    assert said in line
    assert "\n" not in line


def test_progress_counts_stages_in_plain_lines_where_nobody_watches() -> None:
    stream = io.StringIO()
    progress = Progress(["first", "second"], stream)
    for stage in range(2):
        progress.begin(stage)
        progress.tick("busy")
        progress.end()
    lines = stream.getvalue().splitlines()
    assert [line.strip()[:14] for line in lines] == ["[1/2] first", "done in 0:00", "[2/2] second", "done in 0:00"]
    assert "\x1b" not in stream.getvalue()
