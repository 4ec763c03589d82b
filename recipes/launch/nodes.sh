#!/bin/sh
# Two machines with eight GPUs each. The same line on both; HEAD is the name of either of them.
exec torchrun --nnodes "${NODES:-2}" --nproc_per_node "${GPUS:-8}" \
    --rdzv_id triage --rdzv_backend c10d --rdzv_endpoint "${HEAD:?the name of one of the machines}:29500" \
    recipes/launch/train.py "$@"
