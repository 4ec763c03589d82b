"""What notebook 09 computes by hand is TRL's own number, on other pairs and after the adapter has moved."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = """
import ast, json, sys
from pathlib import Path

import ftlab
import torch
from unsloth import FastLanguageModel
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from ftlab.models import resolve

BETA = float(sys.argv[1])
model, tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve("nano"), max_seq_length=512, dtype=torch.float32, load_in_4bit=False)
model = FastLanguageModel.get_peft_model(
    model, r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["q_proj", "up_proj"], bias="none",
    use_gradient_checkpointing=False, random_state=1)
rows = [json.loads(line) for line in open("data/lessons/preferences_train.jsonl")][:3]
rows = [{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in rows]
dpo = DPOTrainer(model=model, processing_class=tokenizer, train_dataset=Dataset.from_list(rows),
                 args=DPOConfig(output_dir=sys.argv[2], beta=BETA, precompute_ref_log_probs=True, bf16=False,
                                gradient_checkpointing=False, report_to="none", disable_tqdm=True))
tree = ast.parse(Path("notebooks/src/09_learn_preferences.py").read_text())
wanted = ("log_probability", "implicit_rewards", "dpo_loss", "trainers_loss")
nodes = [node for node in tree.body if getattr(node, "name", None) in wanted]
assert len(nodes) == len(wanted)
exec(compile(ast.Module(nodes, []), "09", "exec"))
pairs = list(dpo.train_dataset)
before = [(dpo_loss(pair), trainers_loss(pair)) for pair in pairs]
torch.manual_seed(1)
for name, weight in model.named_parameters():
    if "lora_B.default" in name:
        torch.nn.init.normal_(weight, std=0.05)
print("RESULT", json.dumps([before, [(dpo_loss(pair), trainers_loss(pair)) for pair in pairs]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_the_loss_by_hand_is_trls(beta, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(beta), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    before, after = json.loads(line.removeprefix("RESULT"))
    for by_hand, theirs in before:
        assert by_hand == pytest.approx(theirs, abs=1e-4) == pytest.approx(0.6931, abs=1e-3)
    for by_hand, theirs in after:
        assert by_hand == pytest.approx(theirs, abs=1e-3)
        assert abs(by_hand - 0.6931) > 0.01, "the adapter has moved, so the loss must have"


def test_both_exercises_of_the_notebook_are_checked():
    text = (ROOT / "notebooks" / "src" / "09_learn_preferences.py").read_text(encoding="utf-8")
    assert "check_win_rate(win_rate_of)" in text
    assert "check_advantages(advantages)" in text


def test_advantages_are_trls():
    """The trainer's own lines, on a group as it lies in a batch."""
    import torch
    from trl.trainer.utils import nanstd

    from ftlab.exercises.preferences import advantages

    rewards = torch.tensor([[0.2, 0.4, 1.0, 0.4], [1.0, 1.0, 1.0, 1.0]])
    theirs = (rewards - rewards.mean(1, keepdim=True)) / (nanstd(rewards, dim=1)[:, None] + 1e-4)
    ours = torch.tensor([advantages(group.tolist()) for group in rewards])
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
