"""The live plot, with a clock and a display of our own: when it draws, where, and that it can be read aloud."""

import base64
from types import SimpleNamespace

import pytest

from ftlab.training import runlog
from ftlab.training.runlog import LivePlot

ROWS = [{"loss": 3.25, "step": 1}, {"loss": 2.5, "step": 2}, {"eval_loss": 1.75, "step": 2}]


class Display:
    """Stands in for IPython's `display` and the handle it returns; keeps what was shown first and later."""

    def __init__(self):
        self.shown, self.updates = [], []

    def __call__(self, data, **options):
        self.shown.append((data, options))
        return self

    def update(self, data, **options):
        self.updates.append((data, options))

    @property
    def all(self):
        return [*self.shown, *self.updates]


@pytest.fixture
def display(monkeypatch):
    display = Display()
    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("IPython.core.interactiveshell.InteractiveShell.initialized", lambda: True)
    return display


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still: a test sets `clock.now`, in seconds."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(runlog.time, "monotonic", lambda: clock.now)
    return clock


def log(plot, rows):
    plot.on_log(None, SimpleNamespace(log_history=rows), None)


def end(plot, rows):
    plot.on_train_end(None, SimpleNamespace(log_history=rows), None)


def test_it_draws_at_most_once_in_every_so_many_seconds(display, clock):
    plot, drawn = LivePlot(every=2.0), []
    for clock.now in [1000.0 + 0.5 * i for i in range(13)]:  # 6 seconds, a log each half second
        before = len(display.all)
        log(plot, ROWS)
        if len(display.all) > before:
            drawn.append(clock.now)
    assert drawn == [1000.0, 1002.0, 1004.0, 1006.0]


def test_it_shows_one_figure_and_updates_that_one(display, clock):
    plot = LivePlot(every=1.0)
    for count in (1, 2, 3):
        log(plot, ROWS[:count])
        clock.now += 1
    assert len(display.shown) == 1
    assert len(display.updates) == 2
    assert display.shown[0][1]["display_id"]
    assert all(options["raw"] for _, options in display.all)  # data and metadata as they are
    pictures = [data["image/png"] for data, _ in display.all]
    assert len(set(pictures)) == 3  # each from the rows of its time
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)


def test_the_end_is_drawn_however_soon_it_comes(display, clock):
    plot = LivePlot(every=1000.0)
    log(plot, ROWS[:1])
    clock.now += 0.1
    log(plot, ROWS[:2])
    assert not display.updates
    end(plot, ROWS)
    assert len(display.shown) == len(display.updates) == 1
    assert "1.750" in display.updates[0][0]["text/plain"]


def test_every_figure_carries_a_sentence_with_its_numbers(display, clock):
    end(LivePlot(), ROWS)
    data, options = display.shown[0]
    alt = data["text/plain"]
    assert "Training loss 3.250" in alt
    assert "Validation loss 1.750 at step 2" in alt
    assert f'alt="{alt}"' in data["text/html"]
    assert options["metadata"]["image/png"]["alt"] == alt


def test_nothing_is_shown_before_a_loss_is_known(display, clock):
    plot = LivePlot()
    log(plot, [])
    end(plot, [{"train_runtime": 3.0, "step": 2}])
    assert display.all == []
    log(plot, ROWS)  # and the wait has not begun
    assert len(display.shown) == 1


def test_a_real_trainer_calls_it(display, tmp_path):
    """One parameter, three steps: the rows are those of the trainer's own log, the last figure shows the last."""
    import torch
    from transformers import Trainer, TrainingArguments

    class Square(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([3.0]))

        def forward(self, x, labels=None):
            return {"loss": (self.weight * x).square().mean()}

    rows = [{"x": 1.0}] * 3
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=1,
        num_train_epochs=1,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(Square(), arguments, train_dataset=rows, callbacks=[LivePlot(every=0.0)])
    trainer.train()
    assert len(display.shown) == 1
    assert len(display.updates) >= 3  # two more logs, and the end
    assert "Training loss 9.000 at step 1" in display.all[-1][0]["text/plain"]
    assert "at 3." in display.all[-1][0]["text/plain"]
