"""Watch a run: a loss plot that grows while the trainer works."""

import time

from transformers import TrainerCallback

from ftlab.plots import figure_bundle, loss_alt, loss_figure


class LivePlot(TrainerCallback):
    """Redraws training and validation loss, in `unit`, below the cell; at most once in `every` seconds."""

    def __init__(self, every: float = 2.0, unit: str = "nats per token"):
        self.every, self.unit, self.handle, self.drawn = every, unit, None, 0.0

    def on_train_begin(self, args, state, control, **kwargs):
        self.handle, self.drawn = None, 0.0  # a resumed run draws below its own cell

    def on_log(self, args, state, control, **kwargs):
        if time.monotonic() - self.drawn >= self.every:
            self.draw(state.log_history)

    def on_train_end(self, args, state, control, **kwargs):
        self.draw(state.log_history)

    def draw(self, rows) -> None:
        """Show the figure, or replace the one that is shown."""
        from IPython.core.interactiveshell import InteractiveShell
        from IPython.display import display

        rows = [r for r in rows if "loss" in r or "eval_loss" in r]
        if not rows or not InteractiveShell.initialized():
            return
        data, metadata = figure_bundle(loss_figure(rows, self.unit), loss_alt(rows))
        if self.handle is None:
            self.handle = display(data, metadata=metadata, raw=True, display_id=True)
        else:
            self.handle.update(data, metadata=metadata, raw=True)
        self.drawn = time.monotonic()
