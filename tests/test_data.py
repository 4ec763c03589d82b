"""The package: which names it gives away, and that importing them loads nothing heavy."""

import pkgutil
import subprocess
import sys

from ftlab import data


def test_exported_names():
    assert data.__all__ == [
        "ChatCheck", "Finding", "Row", "assert_no_leak", "check_chat", "clusters", "convert", "from_messages",
        "label_table", "lengths", "read", "read_chat", "split_by_group", "split_file", "to_messages",
        "tokenize_for_training", "trained_rows", "write_chat",
    ]  # fmt: skip
    assert all(hasattr(data, name) for name in data.__all__)


def test_no_name_hides_a_module():
    assert not set(data.__all__) & {module.name for module in pkgutil.iter_modules(data.__path__)}


def test_importing_is_light():
    code = (
        "import sys, ftlab.data, ftlab.data.check, ftlab.data.export\n"
        "print(*{'pandas', 'pyarrow', 'datasets', 'torch', 'transformers', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
