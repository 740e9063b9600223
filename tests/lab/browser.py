"""A browser on one of the lab's hosts, told what to do line by line.

Runs there as `peer.py` does (`python -m tests.lab.browser`): Debian's Chromium without a window,
by WebDriver. It sees what a person's browser would see there, and nothing else.
"""

import base64
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
DESKTOP, PHONE = (1280, 900), (390, 844)

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # Chromium's own doesn't run as root; this one is in the lab's
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
)


class Browser:
    """One window."""

    def __init__(self, profile: str) -> None:
        options = ChromeOptions()
        options.binary_location = CHROMIUM
        for option in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = Chrome(options=options, service=ChromeService(DRIVER))

    def do_open(self, url: str, size: tuple[int, int] = DESKTOP, dark: bool = False) -> None:
        """Loads a page anew, in a tab that remembers nothing."""
        self.do_size(*size)
        self._emulate("setEmulatedMedia", features=[_scheme(dark)])
        self.driver.get(url)
        self.driver.execute_script("sessionStorage.clear()")

    def do_size(self, width: int, height: int) -> None:
        """As wide and high as some screen."""
        mobile = width < 600
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self._emulate("setDeviceMetricsOverride", **size)

    def do_text(self, css: str) -> str:
        """What can be read in an element; nothing if it is hidden."""
        return self._find(css).text

    def do_texts(self, css: str) -> list[str]:
        """The same of all such elements."""
        return list(map(_text_of, self.driver.find_elements(By.CSS_SELECTOR, css)))

    def do_click(self, css: str) -> None:
        """As with a mouse."""
        self._find(css).click()

    def do_type(self, css: str, text: str) -> None:
        """Types into a field in place of what is there, and Enter."""
        field = self._find(css)
        field.clear()
        field.send_keys(text, Keys.ENTER)

    def do_keys(self, names: list[str]) -> None:
        """Presses keys, wherever the focus is."""
        for name in names:
            self.driver.switch_to.active_element.send_keys(getattr(Keys, name))

    def do_focus(self) -> dict[str, str]:
        """Where the focus is: id, accessible name and role."""
        return _described(self.driver.switch_to.active_element)

    def do_described(self, css: str) -> list[dict[str, str]]:
        """Id, accessible name and role of all such elements that are shown."""
        found = self.driver.find_elements(By.CSS_SELECTOR, css)
        return [_described(each) for each in found if each.is_displayed()]

    def do_run(self, script: str, arguments: tuple[Any, ...] = ()) -> Any:
        """What the body of a function gives; of a promise, what it comes to."""
        return self.driver.execute_script(script, *arguments)

    def do_console(self) -> list[dict[str, Any]]:
        """What has come on the browser's console since this was asked last."""
        found: list[dict[str, Any]] = self.driver.get_log("browser")
        return found

    def do_picture(self, path: str, most: int) -> int:
        """The page as a PNG file, down to so many pixels; the file's size in bytes."""
        size = "return [innerWidth, document.documentElement.getBoundingClientRect().height]"
        width, height = self.driver.execute_script(size)
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, most), "scale": 1}
        shot = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot",
            {"format": "png", "captureBeyondViewport": True, "clip": clip},
        )
        return Path(path).write_bytes(base64.b64decode(shot["data"]))

    def _find(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def _emulate(self, what: str, **how: Any) -> None:
        self.driver.execute_cdp_cmd(f"Emulation.{what}", how)


def _scheme(dark: bool) -> dict[str, str]:
    return {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}


def _text_of(element: WebElement) -> str:
    return element.text


def _described(element: WebElement) -> dict[str, str]:
    return {
        "id": element.get_attribute("id") or "",
        "name": element.accessible_name,
        "role": element.aria_role,
    }


def answer(browser: Browser, line: str) -> dict[str, Any]:
    """Carries out one request."""
    operation, arguments = json.loads(line)
    try:
        return {"ok": getattr(browser, f"do_{operation}")(**arguments)}
    except WebDriverException as problem:
        return {"error": f"{type(problem).__name__}: {problem.msg}"}


def main() -> None:
    """Answers until standard input ends, or until it is told to."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        try:
            for line in sys.stdin:
                print(json.dumps(answer(browser, line)), flush=True)
        finally:
            browser.driver.quit()


if __name__ == "__main__":
    main()
