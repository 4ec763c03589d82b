"""Look at a notebook as learners see it: its page as a PNG.

Examples:
    python tools/screenshot.py notebooks/00_start_here.ipynb out.png          as a static page (nbconvert)
    python tools/screenshot.py notebooks/00_start_here.ipynb out.png --lab    as JupyterLab shows it, not run
    python tools/screenshot.py notebooks/00_start_here.ipynb out.png --run    after Run All Cells from its menu
    python tools/screenshot.py notebooks/05_lora_by_hand.ipynb data/recorded/lab.png --at "Four bits"    README's

With --run the exit code is 1 where a cell ended in an error that the built notebook does not show; its name is printed.

Needs Chromium and Playwright for Python: apt-get install chromium; pip install playwright.
"""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 180_000  # slow machines: every wait is for a state, this is only when to give up
RUN_PATIENCE_MS = 1_800_000
# asked of the notebook and not of the page: there an error looks like any other text on stderr
ERRORS = """[...jupyterapp.shell.currentWidget.content.model.cells].flatMap(cell => cell.outputs?.toJSON() ?? [])
    .filter(output => output.output_type === 'error').map(error => `${error.ename}: ${error.evalue}`)"""
ALL_RUN = f"""() => {{
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(p => p.textContent);
    const ended = prompts.every(text => /\\[\\d+\\]:/.test(text));
    const stopped = {ERRORS}.length > 0 && !prompts.some(text => text.includes('*'));
    return prompts.length > 0 && (ended || stopped);
}}"""
WINDOW = {"width": 1060, "height": 730}
SCROLL = """heading => {
    const panel = document.querySelector('.jp-WindowedPanel-outer');
    const found = [...panel.querySelectorAll('h1, h2')].find(each => each.textContent.startsWith(heading));
    panel.scrollTop += found.getBoundingClientRect().top - panel.getBoundingClientRect().top - 8;
}"""
SETTINGS = {  # no question about news, no file written, every cell in the page even when it is out of sight
    "docmanager-extension/plugin": {"autosave": False},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


def chromium() -> str | None:
    """The browser's path, or None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextlib.contextmanager
def open_page(width: int = 1200, height: int = 1600) -> Iterator:
    """A page of a fresh headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(PATIENCE_MS)
            yield page
        finally:
            browser.close()


@contextlib.contextmanager
def jupyter_lab(folder: Path) -> Iterator[tuple[str, str]]:
    """A real JupyterLab on a free port, what it writes in a temporary folder; gives (url, token)."""
    token = secrets.token_hex(16)
    made = Path(os.environ.get("FTLAB_HOME") or ROOT / "runs", "models")
    with tempfile.TemporaryDirectory(prefix="ftlab_lab_") as home:
        Path(home, "runs").mkdir()
        if made.is_dir():  # `smol`, which was unpacked before
            Path(home, "runs", "models").symlink_to(made.resolve(), target_is_directory=True)
        for name, value in SETTINGS.items():
            file = Path(home, "settings", "@jupyterlab", f"{name}.jupyterlab-settings")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(value), encoding="utf-8")
        environment = os.environ | {
            "JUPYTER_CONFIG_DIR": f"{home}/config",
            "JUPYTER_RUNTIME_DIR": f"{home}/runtime",
            "JUPYTERLAB_SETTINGS_DIR": f"{home}/settings",
            "JUPYTERLAB_WORKSPACES_DIR": f"{home}/workspaces",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "HF_HUB_OFFLINE": "1",
            "FTLAB_HOME": f"{home}/runs",
        }
        environment.pop("MPLBACKEND", None)
        command = [
            sys.executable,
            "-m",
            "jupyter",
            "lab",
            "--no-browser",
            "--allow-root",
            "--ServerApp.port=0",
            "--expose-app-in-browser",
        ]
        command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
        with open(Path(home, "log"), "w+", encoding="utf-8") as log:
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            try:
                yield wait_for_server(server, Path(home, "runtime"), Path(home, "log")), token
            finally:
                server.terminate()  # it ends its kernels
                server.wait(60)


def wait_for_server(server: subprocess.Popen, runtime: Path, log: Path) -> str:
    """The URL that the server writes into its runtime folder once it listens."""
    give_up = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < give_up and server.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(json.JSONDecodeError):  # half written
                return json.loads(file.read_text(encoding="utf-8"))["url"]
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')[-3000:]}")


def open_notebook(page, url: str, token: str, path: str) -> None:
    """Open a notebook in JupyterLab and wait until its kernel is ready."""
    page.goto(f"{url}lab/tree/{quote(path)}?token={token}")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.locator(".jp-Spinner").first.wait_for(state="hidden")


def run_all_cells(page, patience_ms: int = PATIENCE_MS) -> None:
    """Run all cells of the open notebook from the menu; wait until each has a number, or an error has stopped them."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(ALL_RUN, timeout=patience_ms)


def errors_shown(page) -> list[str]:
    """Name and message of each error that a cell shows."""
    return page.evaluate(ERRORS)


def keep_picture(page, name: str) -> None:
    """Save what the page shows now in the temporary folder and say where."""
    path = Path(tempfile.gettempdir(), f"ftlab_browser_{name}.png")
    page.screenshot(path=path)
    print("what the browser showed:", path)


def static_page(notebook: Path, png: Path) -> None:
    """nbconvert's HTML of the notebook as one long picture; nothing is loaded from the network."""
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter().from_filename(str(notebook))
    with tempfile.TemporaryDirectory() as folder, open_page(height=400) as page:
        file = Path(folder, "page.html")
        file.write_text(body, encoding="utf-8")
        page.route(
            "**/*",
            lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort(),
        )
        page.goto(file.as_uri(), wait_until="load")
        page.screenshot(path=png, full_page=True)


def lab_page(notebook: Path, png: Path, run: bool, at: str = "") -> list[str]:
    """The notebook in JupyterLab, as it opens or as it looks when run; the window is made as high as the notebook.

    Or, with `at`, a window of usual size from this heading on. Gives the errors that it shows beyond those with which
    it opened.
    """
    with jupyter_lab(notebook.parent) as (url, token), open_page(height=600) as page:
        open_notebook(page, url, token, notebook.name)
        known = errors_shown(page)
        if run:
            page.get_by_role("menuitem", name="Edit", exact=True).click()
            page.get_by_role("menuitem", name="Clear Outputs of All Cells", exact=True).click()
            run_all_cells(page, RUN_PATIENCE_MS)
        if at:
            page.set_viewport_size(WINDOW)
            page.evaluate(SCROLL, at)
        else:
            height = page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollHeight")
            page.set_viewport_size({"width": 1200, "height": min(height + 200, 15000)})
            page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
        page.screenshot(path=png)
        return [error for error in errors_shown(page) if error not in known]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("png", type=Path)
    parser.add_argument("--lab", action="store_true", help="in JupyterLab instead of as a static page")
    parser.add_argument("--run", action="store_true", help="in JupyterLab, after all cells were run there")
    parser.add_argument("--at", default="", metavar="HEADING", help="in JupyterLab, a window from this heading on")
    args = parser.parse_args()
    if not args.notebook.is_file() or not chromium():
        print(
            f"{args.notebook} is no file" if chromium() else "no Chromium: apt-get install chromium",
            file=sys.stderr,
        )
        return 2
    if not (args.lab or args.run or args.at):
        static_page(args.notebook.resolve(), args.png)
        return 0
    errors = lab_page(args.notebook.resolve(), args.png, args.run, args.at)
    print("\n".join(errors) or "no error", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
