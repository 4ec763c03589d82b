"""What a built notebook shows: outputs tidied, and what may not be committed found."""

import json
import re

import nbformat
from notebook_source import tags

MAX_OUTPUT_BYTES, MAX_NOTEBOOK_BYTES = 200_000, 1_500_000
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
PROGRESS = re.compile(r"\d+%\|.*\|")
HERE_ONLY = re.compile(r"(?<![\w.:/\\-])/(?:home|root|Users|tmp|work|private|content|mnt)/[\w.-][^\s'\"<>]*")


def tidy(notebook) -> None:
    """Leave what a reader needs: prints in one stream, no progress bars, timestamps or double images."""
    notebook.metadata["language_info"] = nbformat.from_dict({"name": "python"})  # nbclient writes versions
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        outputs = []
        for output in cell.outputs:
            last = outputs[-1] if outputs else None
            if output.output_type == "stream" and last and last.get("name") == output.name:
                last.text += output.text
            elif not is_progress_bar(output):
                outputs.append(output)
        for output in outputs:
            if output.output_type == "stream":
                output.text = final_lines(output.text, progress=output.name == "stdout")
            data, shown = output.get("data", {}), output.get("metadata", {})
            if "text/html" in data:
                data["text/html"] = re.sub(r"<progress\b.*?</progress>\s*", "", data["text/html"], flags=re.DOTALL)
            if WIDGET_VIEW in data:  # what GitHub, and JupyterLab before the cell has run, shows in its place
                data["text/plain"] = "Run this cell to see its controls."
            if "image/png" in data and shown.get("image/png", {}).get("alt"):
                data.pop("text/html", None)  # the same image with its alt text; GitHub may refuse it
        cell.outputs = [output for output in outputs if output.output_type != "stream" or output.text.strip()]
    keep_widgets_in_use(notebook)


def is_progress_bar(output) -> bool:
    data = output.get("data", {})
    return WIDGET_VIEW in data and bool(PROGRESS.search(data.get("text/plain", "")))


def final_lines(text: str, progress: bool) -> str:
    """What a terminal shows in the end: carriage returns overwrite the line; bars go unless `progress`."""
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in ANSI.sub("", text).split("\n")]
    return "\n".join(line for line in lines if progress or not PROGRESS.search(line))


def keep_widgets_in_use(notebook) -> None:
    """Keep the state of the widgets that are shown, or no `widgets` (GitHub refuses one without `state`).

    Models are renamed in the order in which they are met, so that a rebuild gives the same file.
    """
    state = notebook.metadata.pop("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    views = [
        output.data[WIDGET_VIEW]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if WIDGET_VIEW in output.get("data", {})
    ]
    names: dict[str, str] = {}
    todo = [view["model_id"] for view in views]
    while todo:
        model = todo.pop(0)
        if model in state and model not in names:
            names[model] = f"{len(names) + 1:032x}"
            todo += re.findall(r"IPY_MODEL_(\w+)", json.dumps(state[model]))
    for view in views:
        view["model_id"] = names.get(view["model_id"], view["model_id"])
    if names:
        text = json.dumps({names[model]: state[model] for model in names})
        text = re.sub(r"IPY_MODEL_(\w+)", lambda m: f"IPY_MODEL_{names.get(m[1], m[1])}", text)
        kept = {"state": json.loads(text), "version_major": 2, "version_minor": 0}
        notebook.metadata["widgets"] = nbformat.from_dict({WIDGET_STATE: kept})


def problems(notebook) -> list[str]:
    """What may not be committed, one line each with the cell and the remedy."""
    found = []
    for index, cell in enumerate(notebook.cells, start=1):
        where = f"cell {index}" + (
            f" (source line {cell.metadata.source_line})" if "source_line" in cell.metadata else ""
        )
        for alt in re.findall(r"!\[(.*?)\]\(", cell.source if cell.cell_type == "markdown" else ""):
            if not alt.strip():
                found.append(f"{where}: an image without alt text: write ![what it shows](file)")
        for output in cell.get("outputs", []):
            size = len(json.dumps(output))
            if size > MAX_OUTPUT_BYTES:
                found.append(f"{where}: an output of {size // 1000} kB (at most {MAX_OUTPUT_BYTES // 1000}): show less")
            if output.get("name") == "stderr" and "allow-stderr" not in tags(cell):
                found.append(f'{where}: writes to stderr: cure it or tag the cell "allow-stderr":\n{output.text}')
            found += [f"{where}: {line}" for line in image_problems(output)]
            for text in texts_of(output):
                if path := HERE_ONLY.search(text):
                    found.append(f"{where}: prints a path of this machine, {path.group()}: print it relative")
    size = len(nbformat.writes(notebook))
    if size > MAX_NOTEBOOK_BYTES:
        found.append(f"the notebook has {size // 1000} kB (at most {MAX_NOTEBOOK_BYTES // 1000}): show less")
    return found


def image_problems(output) -> list[str]:
    data, shown = output.get("data", {}), output.get("metadata", {})
    bare = [mime for mime in data if mime.startswith("image/") and not shown.get(mime, {}).get("alt", "").strip()]
    bare += [
        tag[:60]
        for tag in re.findall(r"<img\b[^>]*>", data.get("text/html", ""))
        if not re.search(r"\balt=([\"'])(?!\1)", tag)
    ]
    return [f"an image without alt text ({item}): use ftlab.plots.show(fig, alt)" for item in bare]


def texts_of(output) -> list[str]:
    data = output.get("data", {})
    plain = [text for mime, text in data.items() if mime.startswith("text/") and isinstance(text, str)]
    return [*plain, output.get("text", ""), *output.get("traceback", [])]
