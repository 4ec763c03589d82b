"""Write the names of the settings that Axolotl and LLaMA-Factory know, from their own code, to data/trainers/*.txt.

    pip install --no-deps --target FOLDER axolotl==0.19.0 llamafactory==0.9.5 omegaconf colorama addict
    mkdir FOLDER/torchaudio; touch FOLDER/torchaudio/__init__.py
    PYTHONPATH=.:FOLDER DISABLE_VERSION_CHECK=1 python tools/trainer_keys.py

Both pin other versions than the course, so they are no dependencies; their readers run beside ours. The lists
stand in for them in the tests and in notebook 13: Axolotl ignores a key that it does not know, without a word.
"""

import dataclasses
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "data/trainers"


def axolotl_keys() -> list[str]:
    from axolotl.utils.schemas.config import AxolotlInputConfig

    return list(AxolotlInputConfig.model_fields)


def llama_factory_keys() -> list[str]:
    from llamafactory import hparams

    kinds = ("ModelArguments", "DataArguments", "TrainingArguments", "FinetuningArguments", "GeneratingArguments")
    return [field.name for kind in kinds for field in dataclasses.fields(getattr(hparams, kind)) if field.init]


for name, package, found in (
    ("axolotl", "axolotl", axolotl_keys()),
    ("llama_factory", "llamafactory", llama_factory_keys()),
):
    head = f"# keys of a configuration of {package} {version(package)}, written by tools/trainer_keys.py\n"
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}_keys.txt").write_text(head + "\n".join(sorted(set(found))) + "\n")
    print(f"{name}: {len(set(found))} keys")
