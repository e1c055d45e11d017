"""Chromium without a window, told what to do over a pipe in its DevTools protocol: standard library only."""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import tempfile
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
"""The program, None where there is none."""

# Seconds for an answer: a page is drawn in two, and a machine that is busy with other tests takes some times as long.
PATIENCE = 120


class Browser:
    """A page in a browser: `run` evaluates an expression in it, `picture` takes a screenshot, `printed` a PDF."""

    def __init__(self, address, *, width=1200, height=1600, dark=False):
        self._profile = tempfile.mkdtemp(prefix="browser")
        here, there = os.pipe(), os.pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars"]
        options += [f"--user-data-dir={self._profile}", f"--window-size={width},{height}", "--no-first-run"]
        # The protocol has its pipes at the descriptors 3 and 4; copies far above them cannot be overwritten by it.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 100) for end in (here[0], there[1])]
        actions = [(os.POSIX_SPAWN_DUP2, end, place) for place, end in enumerate(ends, start=3)]
        actions += [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
        self._process = os.posix_spawn(CHROMIUM, [CHROMIUM, *options], os.environ, file_actions=actions)
        for end in (here[0], there[1], *ends):
            os.close(end)
        self._write, self._read = here[1], there[0]
        self._ids, self._rest, self._session = itertools.count(1), b"", None
        self.errors, self.requests, self._loaded = [], [], False
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Page", "Network", "Log"):
            self._ask(f"{domain}.enable")
        if dark:
            self._ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        self._ask("Page.navigate", url=address)
        while not self._loaded:
            self._note(self._next())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)

    def run(self, expression):
        """The value of an expression, of a promise what it comes to."""
        told = self._ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, condition):
        """Go on when an expression is true."""
        self.run(f"new Promise(done => {{ (function look() {{ ({condition}) ? done(1) : setTimeout(look, 30) }})() }})")

    def press(self, key, code):
        """Press a key as a hand does."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def move(self, x, y):
        """Put the mouse somewhere."""
        self._ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, path, *, whole=False):
        """A screenshot as a PNG file, of what is seen or of the whole page."""
        Path(path).write_bytes(
            base64.b64decode(self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])
        )
        return Path(path)

    def printed(self, path):
        """The page as it is printed, a PDF file."""
        Path(path).write_bytes(base64.b64decode(self._ask("Page.printToPDF", printBackground=True)["data"]))
        return Path(path)

    def _ask(self, method, **parameters):
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == number:
                assert "error" not in told, told["error"]
                return told["result"]
            self._note(told)

    def _note(self, told):
        said = told.get("params", {})
        self._loaded |= told.get("method") == "Page.loadEventFired"
        if told.get("method") == "Runtime.exceptionThrown":
            self.errors.append(said["exceptionDetails"])
        elif told.get("method") == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.errors.append(said["entry"]["text"])
        elif told.get("method") == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])

    def _next(self):
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], PATIENCE)
            assert ready, f"the browser said nothing for {PATIENCE} seconds"
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)
