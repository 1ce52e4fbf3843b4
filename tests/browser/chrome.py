"""Chromium without a window, and a person in front of it who goes by what is written on the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait
from urllib3.exceptions import HTTPError

SECONDS = 120  # to wait for a page at most: a machine may be busy
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--no-proxy-server", "--renderer-process-limit=1",
    "--window-size=1000,1400",
)  # fmt: skip


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """A browser with a profile of its own; the test is skipped where none is installed."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("needs Chromium: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = browser
    for option in (*_OPTIONS, f"--user-data-dir={profile}", "--lang=en"):
        options.add_argument(option)
    try:
        opened = Chrome(options, Service(executable_path=driver, log_output=str(profile) + ".log"))
    except (WebDriverException, HTTPError) as problem:
        pytest.skip(f"Chromium does not start here: {str(problem).splitlines()[0]}")
    try:
        opened.set_page_load_timeout(SECONDS)
        yield opened
    finally:
        opened.quit()


class Person:
    """Reads headings, fills in what has a label, presses buttons by their text."""

    def __init__(self, browser: Chrome) -> None:
        self.browser = browser
        # While one page gives way to another, all kinds of things are not there.
        self._wait = WebDriverWait(browser, SECONDS, 0.05, ignored_exceptions=(WebDriverException,))

    def forget(self) -> None:
        """Everything that sites have left in the browser."""
        self.browser.get("about:blank")
        self.browser.execute_cdp_cmd("Network.clearBrowserCookies", {})

    def speaks(self, languages: str) -> None:
        """Accept-Language from now on."""
        self.browser.execute_cdp_cmd("Network.enable", {})
        headers = {"headers": {"Accept-Language": languages}}
        self.browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", headers)

    @contextmanager
    def without_scripts(self) -> Iterator[None]:
        """No page runs any of its scripts."""
        self.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        try:
            yield
        finally:
            self.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})

    def goes_to(self, url: str) -> None:
        self.browser.get(url)

    def sees(self, heading: str) -> None:
        """Waits for the page with this heading."""
        self._until(lambda: heading in [each.text for each in self.all("h1")], f"no heading {heading!r}")

    @property
    def text(self) -> str:
        return self.browser.find_element(By.TAG_NAME, "body").text

    @property
    def language(self) -> str:
        return self.browser.find_element(By.TAG_NAME, "html").get_attribute("lang") or ""

    def all(self, css: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, css)

    def field(self, label: str) -> WebElement:
        """The input that a label is for."""
        named = self._found(f"//label[normalize-space()={label!r}]")
        return self._found(f"//*[@id={named.get_attribute('for')!r}]")

    def writes(self, label: str, text: str) -> None:
        field = self.field(label)
        field.clear()
        field.send_keys(text)

    def unticks(self, label: str) -> None:
        """The check-box inside of a label that begins so."""
        box = self._found(f"//label[starts-with(normalize-space(), {label!r})]//input")
        assert box.is_selected(), label
        box.click()
        assert not box.is_selected()

    def presses(self, text: str) -> None:
        """A button, or a link, that begins with this text; and waits for another page."""
        found = self._found(f"//*[self::button or self::a][starts-with(normalize-space(), {text!r})]")
        self.browser.execute_script("window.wasHere = true")
        found.click()
        self._until(
            lambda: not self.browser.execute_script("return window.wasHere"), f"{text!r} does nothing"
        )

    def comes_to(self, url: str) -> str:
        """Waits until the browser is at a URL that begins so; the whole URL."""
        self._until(lambda: self.browser.current_url.startswith(url), f"not at {url}")
        return self.browser.current_url

    def waits_for(self, css: str) -> str:
        """The text of an element, once it is there."""
        self._until(lambda: any(each.text for each in self.all(css)), f"no {css}")
        return self.all(css)[0].text

    def _found(self, path: str) -> WebElement:
        found: list[WebElement] = []

        def look() -> bool:
            found[:] = self.browser.find_elements(By.XPATH, path)
            return bool(found)

        self._until(look, f"no {path}")
        return found[0]

    def _until(self, true: Callable[[], bool], otherwise: str) -> None:
        """Waits for something to be so on a page that is there as a whole."""
        try:
            self._wait.until(lambda _: self._is_whole() and true())
        except TimeoutException:
            raise AssertionError(f"{otherwise}; at {self.browser.current_url}:\n{self.text}") from None

    def _is_whole(self) -> bool:
        return bool(self.browser.execute_script("return document.readyState") == "complete")
