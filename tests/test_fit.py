"""Before a run: its numbers are those of the memory and time models, and every verdict follows from two of them."""

import shutil
from collections import namedtuple

import pytest

from ftlab import hardware
from ftlab.costs.architecture import GIB, find_architecture
from ftlab.costs.cards import find_gpu
from ftlab.costs.memory import estimate_memory
from ftlab.errors import ModelError, RecipeError
from ftlab.training.fit import card_here, wants_checkpointing, will_it_fit

LENGTHS = [100, 150, 206]


@pytest.fixture
def no_gpu(monkeypatch):
    """A machine without a GPU, whose speed is known."""
    monkeypatch.setattr(hardware, "gpu_here", lambda: (None, None))
    monkeypatch.setattr(hardware, "smol_tokens_per_second", lambda precision: 100.0)


@pytest.fixture
def a_gpu(monkeypatch):
    """A machine with a T4, as its driver spells it."""
    monkeypatch.setattr(hardware, "gpu_here", lambda: ("Tesla T4", 14.6))


def rows_of(preflight) -> dict[str, tuple]:
    return {what: rest for what, *rest in preflight.rows}


def test_a_cpu_is_asked_for_memory_and_minutes_and_a_card_by_name(no_gpu):
    found = will_it_fit("nano", LENGTHS, batch=16, epochs=2, gpu="T4")
    rows = rows_of(found)
    assert [what.split(":")[0] for what in rows] == [
        "training", "evaluation, same batch", "training", "training", "evaluation, same batch",
        "the same without gradient checkpointing", "checkpoints",
    ]  # fmt: skip
    assert found.fits
    assert rows["training: time on this computer"][0].count(" to ") == 1
    assert found.memory == estimate_memory("nano", "qlora", batch=16, length=206, gpu="T4")
    assert rows["training: memory of the T4"] == [f"{found.memory.device_gib:.2f} GiB", "14.7 GiB", "fits"]
    assert "training: memory of this computer" in repr(found)
    assert "evaluation, same batch: memory of the T4" in found._repr_html_()


def test_twice_the_rows_or_half_the_speed_take_twice_as_long(no_gpu, monkeypatch):
    def hours(rows, epochs):
        from ftlab.training import fit

        times = []
        monkeypatch.setattr(fit, "duration", lambda low, high: times.append(low) or "")
        will_it_fit("nano", LENGTHS * rows, batch=3, epochs=epochs)
        return times[0]

    once = hours(10, 1)
    assert hours(20, 1) == pytest.approx(2 * once, rel=0.05)
    assert hours(10, 3) == pytest.approx(3 * once, rel=0.05)
    monkeypatch.setattr(hardware, "smol_tokens_per_second", lambda precision: 50.0)
    assert hours(10, 1) == pytest.approx(2 * once, rel=1e-6)


def test_evaluation_that_does_not_fit_is_told_with_the_batch_that_does(a_gpu):
    found = will_it_fit("qwen3-8b", [*LENGTHS, 4096], batch=2, epochs=1)
    rows = rows_of(found)
    assert rows["training: memory of the T4"][2] == "fits"
    assert rows["evaluation, same batch: memory of the T4"][2] == "does not fit; per_device_eval_batch_size=1 does"
    assert not found.fits
    assert not any("this computer" in what for what in rows)
    assert rows["training: memory of the T4"][1] == "14.6 GiB"  # what this one reports, not the table's


def test_what_fits_by_less_than_the_known_error_is_close_and_a_smaller_batch_surer(no_gpu):
    found = will_it_fit("qwen3-8b", [*LENGTHS, 2048], batch=2, epochs=1, gpu="T4")
    rows = rows_of(found)
    assert rows["training: memory of the T4"][2] == "fits"
    told = rows["evaluation, same batch: memory of the T4"][2]
    assert told == "close: may not fit; per_device_eval_batch_size=1 is surer"
    assert found.memory.fits  # the verdict on evaluation is not one on training
    tight = rows_of(will_it_fit("qwen3-14b", [2048], batch=2, rank=32, epochs=1, gpu="T4"))
    assert tight["training: memory of the T4"][2] == (
        "close: may not fit; halve the batch, or try one step on the longest rows"
    )
    one = rows_of(will_it_fit("gemma-3-27b", [2048], batch=1, rank=8, epochs=1, gpu="L4"))
    assert one["training: memory of the L4"][2] == "close: may not fit; try one step first"
    assert one["evaluation, same batch: memory of the L4"][2] == "does not fit"


def test_checkpointing_only_where_memory_needs_it(a_gpu):
    def told(length):
        found = will_it_fit("qwen3-4b", [length], batch=2, epochs=1)
        return found, rows_of(found)["the same without gradient checkpointing"][2]

    for length, wanted in ((128, False), (2048, True)):
        off = estimate_memory("qwen3-4b", "qlora", batch=2, length=length, gpu=card_here(), checkpointing="off")
        assert off.fits is not wanted
        assert wants_checkpointing("qwen3-4b", "qlora", longest=length, batch=2) is wanted
    assert "too large, or close: keep checkpointing" in told(2048)
    found, row = told(128)
    assert row == "fits; 31% less to compute: use_gradient_checkpointing=False"
    assert told(2048)[0].fits  # what is not needed need not fit
    assert wants_checkpointing("no-such-model", "qlora", longest=128, batch=2)


def test_no_gpu_no_checkpointing(no_gpu):
    assert not wants_checkpointing("qwen3-4b", "qlora", longest=2048, batch=2)


def test_no_minutes_for_a_model_that_keeps_no_card_busy(a_gpu):
    assert not any("time" in what for what in rows_of(will_it_fit("nano", LENGTHS, batch=16, epochs=2)))
    assert any("time" in what for what in rows_of(will_it_fit("qwen3-4b", LENGTHS, batch=2, epochs=2)))


def test_a_card_that_the_table_lacks_is_counted_with_its_own_memory(monkeypatch):
    monkeypatch.setattr(hardware, "gpu_here", lambda: ("Quadro Unheard-of", 5.0))
    assert card_here().usable_gib == 5
    rows = rows_of(will_it_fit("llama-3.1-8b", LENGTHS, batch=2, epochs=2))
    assert rows["training: memory of the Quadro Unheard-of"][2] == "does not fit"
    assert not any("time" in what for what in rows)


def test_a_full_disk_is_seen(no_gpu, monkeypatch):
    usage = namedtuple("usage", "total used free")
    needed = 4 * find_architecture("nano").lora_parameters(16) * 10
    for free, fits in ((needed + 1, True), (needed - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=free: usage(GIB, 0, free))
        assert will_it_fit("nano", LENGTHS, batch=2, epochs=1, save_total_limit=2).fits is fits


def test_what_cannot_be_counted_is_refused(no_gpu):
    with pytest.raises(ModelError, match="not in the catalogue"):
        will_it_fit("no-such-model", LENGTHS, batch=2, epochs=1)
    with pytest.raises(RecipeError, match="Known: "):
        will_it_fit("nano", LENGTHS, batch=2, epochs=1, gpu="abacus")
    assert find_gpu("T4").usable_gib == pytest.approx(14.74)
