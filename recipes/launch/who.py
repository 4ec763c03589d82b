"""Each process says who it is, and they agree on a mean: torchrun --standalone --nproc_per_node 2 who.py"""

import torch
from accelerate import PartialState

state = PartialState(cpu=not torch.cuda.is_available())
number = torch.tensor(10.0 * state.process_index + 1, device=state.device)
before = number.item()
if state.num_processes > 1:
    torch.distributed.all_reduce(number)  # in place, on every process: the sum over all of them
me, mean = f"process {state.process_index} of {state.num_processes}", number.item() / state.num_processes
print(f"{me} had {before:g}; the mean of all is {mean:g}\n", end="", flush=True)
state.destroy_process_group()
