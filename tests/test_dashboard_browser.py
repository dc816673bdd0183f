"""The dashboard in a real browser: a fine-tune from the form to its report, and the other pages."""

import zipfile

import pytest
from browser_cases import browser, complaints, require_browser, sign_in, until
from server_cases import READER, Server

import l2o

require_browser()

CONFIG = "extends: digits\nevaluations: 4\nfinetuning: {steps: STEPS}\nchoice: {policy: asg-base}\n"
PAGES = ("/", "/jobs", "/jobs/new", "/policies", "/policies/asg-base", "/live", "/uploads")
PAGES += ("/system",)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("server"))
    yield found
    for job in found.ask("GET", "/v1/jobs?state=running&state=queued")[1]["jobs"]:
        found.ask("POST", f"/v1/jobs/{job['id']}/cancel")
    until(lambda: not found.ask("GET", "/v1/jobs?state=running")[1]["jobs"])
    assert found.stop() == 0
    assert "Traceback" not in found.log.read_text()


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def finished(server):
    """Return the ids of two fine-tunes that have ended: tests need no other test before them."""
    asked = {"command": "finetune", "config": CONFIG.replace("STEPS", "40")}
    two = [server.ask("POST", "/v1/jobs", asked | {"name": name})[1]["id"] for name in "ab"]
    for id in two:
        until(lambda id=id: server.ask("GET", f"/v1/jobs/{id}")[1]["state"] == "succeeded")
    return two


@pytest.fixture(scope="module")
def live(server):
    """Return the path of the page of a controller elsewhere, which has told of five decisions."""
    server.ask("PUT", "/v1/telemetry/runs/mine", {"name": "my loop", "groups": ["body", "head"]})
    server.ask("POST", "/v1/telemetry/runs/mine/events", {"first": 0, "events": events(0, 5)})
    return "/live/mine"


def events(first, last):
    event = {"values": {"loss": 1.0}, "multipliers": [0.1, 1.0], "learning_rates": [0.01, 0.1]}
    return [event | {"step": 10 * n} for n in range(first, last)]


@pytest.fixture(scope="module")
def driver(server, downloads):
    with browser(downloads=downloads) as found:
        sign_in(found, server)
        yield found


def submit(driver, server, steps, name):
    """Submit a fine-tune by the form; return its id."""
    driver.get(f"{server.url}/jobs/new")
    field = driver.find_element("id", "config")
    field.clear()
    field.send_keys(CONFIG.replace("STEPS", str(steps)))
    driver.find_element("id", "name").send_keys(name)
    driver.find_element("css selector", "form.form button").click()
    until(lambda: driver.current_url.rpartition("/")[2] not in ("new", ""))
    return driver.current_url.rpartition("/")[2]


def state(driver):
    return driver.find_element("css selector", ".status [data-state]").text


def points(driver, title):
    """Return how many points the longest line of a chart has."""
    for chart in driver.find_elements("css selector", "figure.chart"):
        if chart.find_element("css selector", "figcaption").text == title:
            return int(chart.get_attribute("data-points") or 0)
    return 0


def button(driver, text):
    return next(b for b in driver.find_elements("css selector", "button") if b.text == text)


def test_a_fine_tune_is_submitted_watched_and_its_report_opened(server, driver):
    submit(driver, server, 400, "from the form")
    until(lambda: points(driver, "Loss") >= 1, told="no curve appeared")
    first = points(driver, "Loss")
    until(lambda: points(driver, "Loss") > first, told="the curve did not move")
    assert points(driver, "Learning rates by layer group") >= 1
    until(lambda: state(driver) == "succeeded")
    assert points(driver, "Loss") == 40
    until(lambda: "target accuracy" in driver.find_element("css selector", "[data-log]").text)
    link = until(lambda: driver.find_elements("link text", "report.html"), told="no report listed")
    assert not complaints(driver)
    link[0].click()
    until(lambda: driver.current_url.endswith("report.html"))
    assert "accuracy" in driver.find_element("tag name", "body").text
    picture = driver.find_element("tag name", "img")
    assert driver.execute_script("return arguments[0].naturalWidth", picture) > 100
    assert not complaints(driver)


def test_a_running_job_is_cancelled(server, driver):
    submit(driver, server, 100_000, "too long")
    until(lambda: points(driver, "Loss") >= 1, told="no curve appeared")
    button(driver, "Cancel").click()
    until(lambda: state(driver) == "cancelled")
    assert button(driver, "Retry").is_displayed()
    assert not complaints(driver)


def test_a_policy_is_downloaded_and_loads(server, driver, downloads, tmp_path):
    driver.get(f"{server.url}/policies/asg-base")
    assert driver.find_elements("css selector", ".intervals circle")
    driver.find_element("link text", "Download").click()
    until(lambda: (downloads / "asg-base.zip").exists(), told="nothing was downloaded")
    with zipfile.ZipFile(downloads / "asg-base.zip") as archive:
        archive.extractall(tmp_path)
    assert l2o.load_policy(tmp_path / "asg-base").signals == l2o.load_policy("asg-base").signals
    assert not complaints(driver)


def test_two_runs_side_by_side(server, driver, finished):
    driver.get(f"{server.url}/jobs")
    for id in finished:
        driver.find_element("css selector", f"input[type=checkbox][value='{id}']").click()
    button(driver, "Compare those marked").click()
    until(lambda: "/compare" in driver.current_url)
    until(lambda: points(driver, "Loss") >= 1)
    until(lambda: driver.find_elements("css selector", "[data-last] tbody tr"))
    assert len(driver.find_elements("css selector", "[data-last] thead th")) == 3
    assert not complaints(driver)


def test_a_live_controller_is_seen(server, driver, live):
    driver.get(f"{server.url}/live")
    driver.find_element("link text", "my loop").click()
    until(lambda: driver.current_url.endswith(live))
    until(lambda: points(driver, "Learning rates by layer group") == 5)
    server.ask("POST", "/v1/telemetry/runs/mine/events", {"first": 5, "events": events(5, 6)})
    until(lambda: points(driver, "Loss") == 6, told="new events did not appear")
    assert not complaints(driver)


def test_curves_are_read_with_the_arrow_keys(server, driver, live):
    from selenium.webdriver.common.keys import Keys

    driver.get(f"{server.url}{live}")
    until(lambda: points(driver, "Loss") >= 5)
    chart = driver.find_element("css selector", "figure.chart")
    drawing = chart.find_element("css selector", "svg")
    drawing.send_keys(Keys.HOME)
    assert chart.find_element("css selector", ".readout").text.startswith("step 0:")
    drawing.send_keys(Keys.ARROW_RIGHT)
    assert chart.find_element("css selector", ".readout").text.startswith("step 10:")
    assert drawing.get_attribute("aria-label")


@pytest.mark.parametrize(
    ("width", "dark"), [(1200, False), (1200, True), (390, False)], ids=["light", "dark", "phone"]
)
def test_every_page_fits_its_screen(server, finished, live, width, dark):
    with browser(width, 844, dark) as found:
        sign_in(found, server)
        job, other = finished
        for page in (*PAGES, f"/jobs/{job}", f"/compare?job={job}&job={other}", live):
            found.get(f"{server.url}{page}")
            wide = found.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width, f"{page} is {wide} pixels wide"
            colour = found.execute_script(
                "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
            )
            assert (sum(colour) < 200) == dark
            assert not complaints(found), page


def test_pages_load_nothing_from_elsewhere(server, driver):
    from selenium.webdriver.support.ui import WebDriverWait

    loaded = "return performance.getEntriesByType('resource').map(e => e.name)"
    for page in PAGES:
        driver.get(f"{server.url}{page}")
        # A busy browser lists what it has loaded some time after the page.
        names = WebDriverWait(driver, 30).until(lambda shown: shown.execute_script(loaded))
        assert all(name.startswith((server.url, "data:")) for name in names), names


def test_fields_have_labels_and_focus_goes_along(server, driver):
    from selenium.webdriver.common.keys import Keys

    for page in PAGES:
        driver.get(f"{server.url}{page}")
        unnamed = driver.execute_script(
            "return [...document.querySelectorAll('input:not([type=hidden]), textarea, select, "
            "button, a')].filter(e => !(e.labels?.length || e.getAttribute('aria-label') || "
            "e.textContent.trim())).map(e => e.outerHTML)"
        )
        assert not unnamed, page
    driver.find_element("tag name", "body").send_keys(Keys.TAB)
    focused = driver.switch_to.active_element
    assert focused.text == "Skip to the content"
    focused.send_keys(Keys.ENTER)
    assert driver.switch_to.active_element.get_attribute("id") == "main"


def test_who_may_only_read_has_no_buttons(server, finished):
    with browser() as found:
        sign_in(found, server, READER)
        found.get(f"{server.url}/jobs")
        assert not found.find_elements("link text", "New job")
        found.get(f"{server.url}/jobs/{finished[0]}")
        assert not found.find_elements("css selector", ".actions button")
