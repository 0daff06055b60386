"""What can be said about how frames are generated, and what is refused."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Dict

import pytest
import torch

from kairos.engines.inbetween.options import MEANINGS, Options
from kairos.engines.inbetween.recipe import Recipe
from kairos.engines.registry import engine, engines
from kairos.errors import BadRequest
from kairos.retime import settle
from kairos.retime.settle import settle_engine
from kairos_nodes.jobs import RetimeJob


def job(**settings: Any) -> RetimeJob:
    return RetimeJob("a", "b", between=23, **{"engine": "inbetween", "device": "cpu", **settings})


def test_options_go_by_generate_as_text() -> None:
    told = "steps=12, seed=7,canvas=128x64,aspect=crop,maps=host,low=1.5,changes=none,longer=keys"
    options = Options.of(settle_engine(job(generate=told), engine("inbetween")).options)
    assert options.recipe == Recipe(steps=12, seed=7, maps="host", low=1.5)
    assert options.canvas == (64, 128) and options.aspect == "crop" and options.longer == "keys"
    assert options.changes == "none" and options.asked == ("maps",)


def test_what_is_said_nothing_about_is_as_published() -> None:
    options = Options.of({})
    assert options.recipe == Recipe() and (options.recipe.frames, options.recipe.steps) == (25, 50)
    assert options.canvas_of((1080, 1920)) == (576, 1024) and options.canvas_of((1920, 1080)) == (1024, 576)
    assert options.asked == () and options.aspect == "pad" and options.longer == "retime" and not options.grain


def test_every_option_of_a_recipe_has_a_meaning() -> None:
    assert {each.name for each in fields(Recipe)} <= set(MEANINGS)
    assert set(MEANINGS) <= set(engine("inbetween").card.parameters)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "backwards"}, "no mode 'backwards'.*auto, rotated or trf"),
        ({"steps": "many"}, "steps 'many' cannot be"),
        ({"steps": 0}, "steps"),
        ({"seed": "1.5"}, "seed '1.5' cannot be.*whole"),
        ({"until": 2}, "until"),
        ({"canvas": "1000x500"}, "canvas '1000x500'.*multiples of 64"),
        ({"aspect": "squash"}, "no aspect 'squash'.*pad, crop or stretch"),
        ({"longer": "loop"}, "no longer 'loop'"),
        ({"offload": "maybe"}, "no offload 'maybe'"),
        ({"maps": "disk"}, "no maps 'disk'"),
        ({"grain": "coarse"}, "grain 'coarse'.*0 or 1"),
        ({"canvas": "64x00"}, "canvas '64x00'.*multiples of 64"),
        ({"chunk": 0}, "chunk 0 cannot be.*1 to 100"),
        ({"chunk": "2.5"}, "chunk '2.5' cannot be.*whole"),
        ({"preview": "0.5"}, "preview '0.5' cannot be.*whole"),
        ({"preview": -1}, "preview -1"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(options: Dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said) as raised:
        Options.of(options)
    assert str(raised.value).startswith("inbetween") and "\n" not in str(raised.value)


def test_whole_numbers_may_be_written_in_other_ways() -> None:
    told = Options.of({"steps": "25.0", "seed": "1e3", "chunk": "4.0", "fps": 24.0})
    assert (told.recipe.steps, told.recipe.seed, told.chunk, told.recipe.fps) == (25, 1000, 4, 24)
    assert Options.of({"seed": "9223372036854775807"}).recipe.seed == 2**63 - 1


def test_rotated_attention_needs_tuned_differences_and_auto_does_without() -> None:
    assert Options.of({}).settled(tuned=True).recipe.mode == "rotated"
    assert Options.of({}).settled(tuned=False).recipe.mode == "trf"
    assert Options.of({"layers": "up"}).settled(tuned=False).recipe.mode == "rotated"
    with pytest.raises(BadRequest, match=r"tuned differences.*mode=trf or layers=up"):
        Options.of({"mode": "rotated"}).settled(tuned=False)


def test_frames_are_known_by_what_shows_and_not_by_how_memory_is_saved() -> None:
    plain = Options.of({}).settled(tuned=True)
    for same in ({"maps": "half"}, {"split": "yes"}, {"offload": "yes"}, {"preview": 0}, {"frames": 25}):
        assert Options.of(same).settled(tuned=True).facts() == plain.facts()
    for other in ({"seed": 1}, {"steps": 49}, {"aspect": "crop"}, {"longer": "keys"}, {"mode": "trf"}, {"grain": 1}):
        assert Options.of(other).settled(tuned=True).facts() != plain.facts()
    assert replace(plain, preview=9).facts() == plain.facts()
    # The decoder mixes what it decodes together; that, and what is done with pictures, leaves the steps alone.
    for after in ({"chunk": 2}, {"grain": 1}, {"colours": 0}, {"longer": "keys"}):
        settled = Options.of(after).settled(tuned=True)
        assert settled.facts() != plain.facts() and settled.generated() == plain.generated()


def test_other_engines_refuse_the_flag_and_it_refuses_others_options() -> None:
    with pytest.raises(BadRequest, match=r"--generate.*swift has no such knob.*--engine inbetween"):
        settle_engine(job(engine="swift", generate="steps=3"), engine("swift"))
    with pytest.raises(BadRequest, match=r"--generate: inbetween has no option 'omega'"):
        settle_engine(job(generate="omega=3"), engine("inbetween"))
    with pytest.raises(BadRequest, match=r"--generate: inbetween has no option 'weights'"):
        settle_engine(job(generate="weights=mine"), engine("inbetween"))
    with pytest.raises(BadRequest, match="--fit"):
        settle_engine(job(fit="steps=3"), engine("inbetween"))


def test_on_a_gpu_it_computes_in_half_precision_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settle_engine(job(), engine("inbetween")).precision == "fp32"
    monkeypatch.setattr(settle, "settle_device", lambda name: torch.device("cuda"))
    assert settle_engine(job(), engine("inbetween")).precision == "fp16"
    assert settle_engine(job(precision="bf16"), engine("inbetween")).precision == "bf16"
    assert settle_engine(job(engine="swift"), engine("swift")).precision == "fp32"


def test_it_is_in_the_list_and_never_taken_unasked() -> None:
    card = engine("inbetween").card
    assert card in [each.card for each in engines()] and card.paints and card.generates and not card.commercial
    assert engine("auto").card.id != "inbetween"
