"""A real browser, where there is one: Chromium without a screen, and what it complains of."""

import shutil
import tempfile
import time
from contextlib import contextmanager

import pytest
from server_cases import TOKEN

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")


def require_browser():
    """Skip where there is no browser, or nothing that drives it."""
    pytest.importorskip("selenium", reason="needs selenium, of the extra dev")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")


@contextmanager
def browser(width=1200, height=900, dark=False, downloads=None):
    """Yield a browser with a window of this size; `dark` is what its user prefers."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tempfile.mkdtemp(prefix="l2o-browser-")
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        f"--user-data-dir={profile}",
        f"--window-size={width},{height}",
        "--disable-background-networking",
    ):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option(
        "prefs", {"download.default_directory": str(downloads or profile)}
    )
    found = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        found.set_page_load_timeout(60)
        media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        found.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        if width < 500:
            # A window is never narrower than 500 pixels; a phone is.
            found.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True},
            )
        yield found
    finally:
        found.quit()
        shutil.rmtree(profile, ignore_errors=True)


def sign_in(driver, server, token=TOKEN):
    """Sign in by the form."""
    driver.get(f"{server.url}/")
    assert driver.current_url.endswith("/login")
    driver.find_element("id", "token").send_keys(token)
    driver.find_element("css selector", "main button").click()
    until(lambda: "/login" not in driver.current_url)


def until(what, seconds=180.0, told="it did not happen"):
    """Return what something gives once it is true."""
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, told
        time.sleep(0.05)


def complaints(driver):
    """Return what the browser's console holds that is worse than a note."""
    return [each for each in driver.get_log("browser") if each["level"] in ("SEVERE", "WARNING")]
