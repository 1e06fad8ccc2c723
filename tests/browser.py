# SPDX-License-Identifier: Apache-2.0
"""A real browser for tests of pages, spoken to by the Chrome DevTools Protocol: what it shows, asks for and focuses."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WORDS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
)  # fmt: skip
START_S, ANSWER_S = 120.0, 60.0


def installed() -> str | None:
    """The path of a browser, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Tab:
    """One page: every URL that it asked for is in `asked`, every complaint of the browser in `said`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._number = socket, 0
        self.asked: list[str] = []
        self.said: list[str] = []
        self._events: list[dict[str, Any]] = []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one command; AssertionError for an error."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv(timeout=ANSWER_S))
            if told.get("id") == self._number:
                assert "error" not in told, told
                return dict(told["result"])
            self._hear(told)

    def _hear(self, told: dict[str, Any]) -> None:
        self._events.append(told)
        parameters = told.get("params", {})
        if told.get("method") == "Network.requestWillBeSent":
            self.asked.append(parameters["request"]["url"])
        if told.get("method") == "Log.entryAdded":
            self.said.append(parameters["entry"]["text"])
        if told.get("method") == "Page.javascriptDialogOpening":
            self.said.append(f"dialog: {parameters['message']}")

    def look(self, *, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Be a screen of that size, whose owner likes dark or light."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def go(self, url: str) -> None:
        """Load a page to its end."""
        self._events.clear()
        self.call("Page.navigate", url=url)
        self._await_load()

    def _await_load(self) -> None:
        deadline = time.monotonic() + ANSWER_S
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._hear(json.loads(self._socket.recv(timeout=max(0.1, deadline - time.monotonic()))))

    def value(self, script: str) -> Any:
        """What an expression comes to on the page, as JSON can carry it."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def press(self, key: str, *, loads: bool = False) -> None:
        """A key, `Tab` or `Enter`; `loads` waits for the page that it leads to."""
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        self._events.clear()
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)
        if loads:
            self._await_load()

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """The page as a PNG, all of it or what the screen has."""
        told = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))


@contextmanager
def browsing(program: str, home: Path) -> Iterator[Tab]:
    """A browser of its own with one tab for the length of a `with`; its profile is below `home`."""
    home.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [program, *WORDS, f"--user-data-dir={home}", "about:blank"], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(home)}, start_new_session=True,
    )  # fmt: skip
    try:
        with connect(_tab_address(home / "DevToolsActivePort"), max_size=None) as socket:
            yield Tab(socket)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tab_address(file: Path) -> str:
    import httpx

    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            port = int(file.read_text().split()[0])
            tabs = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
            return next(str(tab["webSocketDebuggerUrl"]) for tab in tabs if tab["type"] == "page")
        except (OSError, ValueError, IndexError, StopIteration, httpx.HTTPError):
            time.sleep(0.1)
    raise AssertionError("the browser did not start")
