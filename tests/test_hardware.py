"""Hardware report: precision by architecture, advice by memory, and the real machine."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from ftlab import hardware

FOUR_BIT = hardware.FourBit(True, "here")
T4_GIB = 14.6


@pytest.mark.parametrize(("capability", "expected"), [(None, "fp32"), ((7, 5), "fp16"), ((8, 0), "bf16")])
def test_precision_follows_the_architecture(monkeypatch, capability, expected):
    """A T4 is 7.5: it only emulates bf16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert hardware.precision() == expected


def test_describe_measures_this_machine():
    machine = hardware.describe()
    assert (machine.smol is None) == (machine.gpu is not None)
    assert machine.cores >= 1
    assert 0.2 < machine.ram_gib < 100_000
    assert machine.disk_free_gib > 0
    # of a CUDA build torch tells a suffix that its package has not
    assert machine.versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert (machine.gpu is None) == (machine.vram_gib is None)
    assert json.loads(json.dumps(asdict(machine)))["four_bit"]["works"] == machine.four_bit.works


def test_repr_and_html_show_every_fact():
    machine = replace(hardware.describe(), gpu="<b>T4</b>", vram_gib=T4_GIB, notes=("a note",))
    for text in ("<b>T4</b>, 14.6 GiB", "- a note"):
        assert text in repr(machine)
    for text in ("&lt;b&gt;T4&lt;/b&gt;, 14.6 GiB", "a note"):
        assert text in machine._repr_html_()


T4 = hardware.Machine("T4", T4_GIB, "a CPU", 2, 12.0, 50.0, "fp16", FOUR_BIT, {}, False)


@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        ({}, ["up to about 14B", "fp16=True"], ["close other programs", "No GPU"]),
        ({"precision": "bf16"}, [], ["fp16=True"]),
        ({"vram_gib": 10.0}, ["up to about 8B"], []),
        ({"vram_gib": 3.0}, ["small"], ["up to about"]),
        ({"four_bit": hardware.FourBit(False, "missing")}, [], ["up to about", "small"]),
        ({"gpu": None, "vram_gib": None, "precision": "fp32"}, ["No GPU", "README"], ["fp16=True", "Colab"]),
        ({"ram_gib": 2.0}, ["close other programs"], []),
        ({"disk_free_gib": 1.0}, ["disk"], []),
    ],
)
def test_advice_fits_the_machine(changes, said, unsaid):
    advice = " ".join(hardware.advise(replace(T4, **changes)))
    assert all(text in advice for text in said)
    assert not any(text in advice for text in unsaid)


@pytest.mark.parametrize(
    ("mps", "driver", "cuda", "expected"),
    [
        (False, None, None, ""),
        (True, None, None, "Apple"),
        (False, "/usr/bin/nvidia-smi", None, "without CUDA"),
        (False, "/usr/bin/nvidia-smi", "13.0", "CUDA 13.0"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_explained(monkeypatch, mps, driver, cuda, expected):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(hardware.shutil, "which", lambda name: driver)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    why = hardware.idle_gpu()
    assert expected in why
    assert bool(why) == bool(expected)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    notes = hardware.describe().notes
    assert (why in notes) == bool(why)


@pytest.mark.parametrize(("gain", "expected"), [(2.3, "bf16"), (0.2, "fp32")])
def test_smol_trains_in_what_this_cpu_multiplies_faster(monkeypatch, gain, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(hardware, "bf16_gain", lambda: gain)
    monkeypatch.setattr(hardware, "smol_tokens_per_second", {"bf16": 220.0, "fp32": 104.4}.get)
    machine = hardware.describe()
    assert machine.precision == "fp32"  # that of nano
    assert (machine.smol.precision, machine.smol.bf16_gain) == (expected, gain)
    speed = {"bf16": 220, "fp32": 100}[expected]
    assert f"trains in {expected}" in repr(machine)
    assert f"{gain} times as fast" in repr(machine)
    assert f"about {speed} tokens/s" in repr(machine)


@pytest.mark.parametrize(("bf16", "gain", "rows"), [(2, 3, [16, 960]), (12, 0.5, [16, 960]), (60, 0.1, [16])])
def test_bf16_gains_what_the_clock_says(monkeypatch, bf16, gain, rows):
    """By a clock whose fp32 turns take 6 seconds; where bf16 is emulated, no large product is made."""
    turns = [99 * turn + second for turn in range(6) for second in (0, 6, 10, 10 + bf16)]
    made = []
    monkeypatch.setattr(hardware.time, "perf_counter", iter(turns).__next__)
    monkeypatch.setattr(torch, "randn", lambda *shape: made.append(shape[0]) or torch.ones(2, 2))
    assert hardware.bf16_gain.__wrapped__() == gain
    assert [n for n in made if n != 576] == rows


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_expected_speed_is_a_layer_30_times_and_the_head(monkeypatch, dtype):
    """Each layer takes 0.1 s by this clock, the first 9, and each head 1 s: 480 tokens in 4 s and a quarter more."""
    turns = [0, 9, 10, 10.1, 20, 20.1, 30, 30.1, 40, 41, 50, 51]
    monkeypatch.setattr(hardware.time, "perf_counter", iter(turns).__next__)
    if dtype == "bf16":  # emulated, a real layer takes long
        for part in ("_smol_layer", "_smol_head"):
            monkeypatch.setattr(hardware, part, lambda batch, *_: batch.mean())
    assert hardware.smol_tokens_per_second.__wrapped__(dtype) == pytest.approx(480 / 4 / 1.26)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(hardware, "PACKAGES", ("torch", "no-such-package"))
    assert hardware.versions()["no-such-package"] == "missing"


@pytest.mark.gpu
def test_the_chosen_precision_computes_on_this_gpu():
    machine = hardware.describe()
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[machine.precision]
    ones = torch.ones(8, 8, dtype=dtype, device="cuda")
    assert (ones @ ones).sum().item() == 512
    assert machine.vram_gib > 1
