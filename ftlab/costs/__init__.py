"""What fine-tuning costs: memory and time on your own GPU, prices of hosted services, break-even.

`payback` is a module with a function of that name in it, so its names are imported from `ftlab.costs.payback`.
"""

from ftlab.costs.memory import (
    Architecture,
    Gpu,
    Memory,
    WhatWouldFit,
    estimate_memory,
    find_architecture,
    find_gpu,
    known_models,
    what_would_fit,
)
from ftlab.costs.prices import Price, PriceBook, load_prices
from ftlab.costs.scenario import (
    Band,
    BreakEven,
    CostReport,
    Curve,
    OptionCost,
    Scenario,
    Tornado,
    break_even,
    cost,
    measure_tokens,
    read_scenario,
    training_charge,
)
from ftlab.costs.time import (
    Calibration,
    FitTable,
    Time,
    calibrate,
    duration,
    estimate_time,
    flops_per_token,
    padded_tokens,
    what_fits,
)

__all__ = [
    "Architecture",
    "Band",
    "BreakEven",
    "Calibration",
    "CostReport",
    "Curve",
    "FitTable",
    "Gpu",
    "Memory",
    "OptionCost",
    "Price",
    "PriceBook",
    "Scenario",
    "Time",
    "Tornado",
    "WhatWouldFit",
    "break_even",
    "calibrate",
    "cost",
    "duration",
    "estimate_memory",
    "estimate_time",
    "find_architecture",
    "find_gpu",
    "flops_per_token",
    "known_models",
    "load_prices",
    "measure_tokens",
    "padded_tokens",
    "read_scenario",
    "training_charge",
    "what_fits",
    "what_would_fit",
]
