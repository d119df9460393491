"""The plot and the link button in a real browser, on a page that polls twice a second."""

import gzip
import re
import time
import urllib.error
import urllib.request
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dashboard.components import assets

pytestmark = pytest.mark.browser
APP = Path(__file__).parent / "apps" / "plot_app.py"
CHART = ".st-key-live .accelboard-plot-canvas"
expect.set_options(timeout=20_000)  # other tests may keep every core busy


@pytest.fixture(scope="module")
def url(serve):
    return serve(APP)


def open_app(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.locator(".st-key-live [data-state=drawn]")).to_be_visible()


def state(page: Page) -> dict:
    return page.evaluate(
        """(selector) => {
        const chart = document.querySelector(selector);
        const visible = chart._fullData.map((trace) => trace.visible);
        const points = chart._fullData.map((trace) => trace.x.length);
        return {x: chart._fullLayout.xaxis.range, visible, points: Math.max(...points)};
    }""",
        CHART,
    )


def wait_for_points(page: Page, more: int) -> None:
    page.wait_for_function(
        """([selector, least]) => document.querySelector(selector)._fullData
            .some((trace) => trace.x.length >= least)""",
        arg=[CHART, state(page)["points"] + more],
        timeout=20_000,
    )


def zoom(page: Page) -> None:
    box = page.locator(f"{CHART} .nsewdrag").first.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=5)
    page.mouse.move(box["x"] + box["width"] * 0.7, middle, steps=5)
    page.mouse.up()


def hide_second(page: Page) -> None:
    page.locator(f"{CHART} .legendtoggle").nth(1).click()
    page.wait_for_function(
        "(selector) => document.querySelector(selector)._fullData[1].visible === 'legendonly'",
        arg=CHART,
    )


def reset(page: Page) -> None:
    """The double click that shows all, and follows what comes."""
    right = state(page)["x"][1]
    page.locator(f"{CHART} .nsewdrag").first.dblclick()
    page.wait_for_function(
        """([selector, right]) =>
            document.querySelector(selector)._fullLayout.xaxis.range[1] > right""",
        arg=[CHART, right],
    )
    followed = state(page)["x"][1]
    wait_for_points(page, more=2)
    assert state(page)["x"][1] > followed


def text_color(page: Page) -> str:
    return page.evaluate(
        """(selector) => getComputedStyle(
            document.querySelector(selector + " .legendtext")).fill""",
        CHART,
    )


def overflow(page: Page) -> int:
    return page.evaluate(
        """() => Math.max(...[document.documentElement, ...document.querySelectorAll(
            "[data-testid=stMain], .accelboard-plot")]
            .map((element) => element.scrollWidth - element.clientWidth))"""
    )


def test_zoom_hidden_trace_and_node_survive_polls(url, browser_page):
    problems = []
    browser_page.on("pageerror", lambda error: problems.append(str(error)))
    open_app(browser_page, url)
    browser_page.evaluate(
        "(selector) => { window.first = document.querySelector(selector) }", CHART
    )
    before = state(browser_page)

    zoom(browser_page)
    hide_second(browser_page)
    zoomed = state(browser_page)
    assert zoomed["x"] != before["x"]

    wait_for_points(browser_page, more=5)
    after = state(browser_page)
    assert after["x"] == zoomed["x"]
    assert after["visible"] == [True, "legendonly"]
    assert browser_page.evaluate(
        "(selector) => window.first === document.querySelector(selector)", CHART
    )
    assert problems == []

    reset(browser_page)


def test_zoom_takes_what_was_boxed_though_points_came_during_the_drag(url, browser_page):
    open_app(browser_page, url)
    box = browser_page.locator(f"{CHART} .nsewdrag").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    browser_page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    browser_page.mouse.down()
    left, right = state(browser_page)["x"]
    browser_page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=5)
    points = int(browser_page.locator("#points").inner_text())
    browser_page.wait_for_function(
        "(least) => Number(document.querySelector('#points').innerText) >= least",
        arg=points + 4,
    )
    browser_page.mouse.up()
    wait_for_points(browser_page, more=1)
    boxed = [left + (right - left) * 0.5, left + (right - left) * 0.75]
    assert state(browser_page)["x"] == pytest.approx(boxed, rel=0.02)


def test_hover_tells_name_and_value_and_stays_through_polls(url, browser_page):
    open_app(browser_page, url)
    browser_page.locator(f"{CHART} .nsewdrag").first.hover()
    label = browser_page.locator(f"{CHART} .hoverlayer .hovertext")
    expect(label).to_contain_text(re.compile(r"(first|second).*Epoch \d+.*\d\d\.\d+%"))
    wait_for_points(browser_page, more=3)
    expect(label).to_have_count(1)


def test_plotly_is_loaded_once_for_all_charts_and_all_polls(url, browser_page):
    requests = []
    browser_page.on("request", lambda request: requests.append(request.url))
    open_app(browser_page, url)
    expect(browser_page.locator("[data-state=drawn]:visible")).to_have_count(2)
    wait_for_points(browser_page, more=3)
    assert requests.count(f"{url}/{assets.PLOTLY_PATH}") == 1
    assert not [request for request in requests if not request.startswith((url, "blob:", "data:"))]


def test_plotly_is_served_compressed_and_kept_by_the_browser(url):
    request = urllib.request.Request(
        f"{url}/{assets.PLOTLY_PATH}", headers={"Accept-Encoding": "br, gzip"}
    )
    with urllib.request.urlopen(request) as response:
        body, headers = response.read(), response.headers
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert headers["Content-Type"].startswith("text/javascript")
    assert int(headers["Content-Length"]) == len(body) < 450_000
    assert gzip.decompress(body) == assets.plotly_js().plain

    request.add_header("If-None-Match", headers["ETag"])
    with pytest.raises(urllib.error.HTTPError) as unchanged:
        urllib.request.urlopen(request)
    assert unchanged.value.code == 304


def test_the_drawing_library_is_the_version_that_figures_are_made_for():
    whole = files("plotly").joinpath("package_data/plotly.min.js").read_bytes()
    heads = [script[:200].decode() for script in (whole, assets.plotly_js().plain)]
    theirs, ours = (re.findall(r"v(\d+\.\d+\.\d+)", head) for head in heads)
    assert theirs == ours != []
    assert f"-{ours[0]}." in assets.PLOTLY_PATH


def test_plotly_is_served_plain_to_a_client_without_gzip(url):
    with urllib.request.urlopen(f"{url}/{assets.PLOTLY_PATH}") as response:
        assert response.headers["Content-Encoding"] is None
        assert response.read() == assets.plotly_js().plain


def test_chart_follows_the_theme_while_the_page_is_open(url, new_page):
    page = new_page(color_scheme="dark")
    open_app(page, url)
    dark = text_color(page)
    zoom(page)
    hide_second(page)
    zoomed = state(page)["x"]
    page.emulate_media(color_scheme="light")
    page.wait_for_function(
        """([selector, dark]) => getComputedStyle(
            document.querySelector(selector + " .legendtext")).fill !== dark""",
        arg=[CHART, dark],
    )
    light = text_color(page)
    assert sum(channels(light)) < sum(channels(dark))
    assert channels(light) == channels(
        page.evaluate("getComputedStyle(document.querySelector('.stApp')).color")
    )
    page.set_viewport_size({"width": 800, "height": 700})
    wait_for_points(page, more=2)
    after = state(page)
    assert (after["x"], after["visible"]) == (zoomed, [True, "legendonly"])
    reset(page)


def channels(color: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", color)[:3]]


def test_hostile_names_are_shown_as_they_are_written(url, browser_page):
    dialogs = []
    browser_page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    open_app(browser_page, url)
    chart = browser_page.locator(".st-key-names .accelboard-plot-canvas")
    names = chart.locator(".legendtext").all_text_contents()
    assert names[0] == "<b>bold</b>"
    assert names[3] == "$x^2$ %{y} %{x}"
    assert names[4] == "&amp; \"quoted\" 'so'"
    assert names[5] == "line break"
    assert len(names[6]) <= 28
    assert chart.locator("b, a[href], img, tspan[style*=bold], foreignObject").count() == 0
    chart.locator(".nsewdrag").first.hover()
    shown = ("<b>bold</b>", "click</a>", "onerror=alert(1)>", "%{y} %{x}", "&amp;", "line break")
    for index, name in enumerate((*shown, "resnet50 end")):
        show_hover(browser_page, index)
        expect(chart.locator(".hoverlayer .hovertext")).to_contain_text(name)
    assert chart.locator("a[href], img").count() == 0
    assert dialogs == []


def show_hover(page: Page, trace: int) -> None:
    page.evaluate(
        """(trace) => Plotly.Fx.hover(document.querySelector(
            ".st-key-names .accelboard-plot-canvas"), [{curveNumber: trace, pointNumber: 20}])""",
        trace,
    )


def test_narrow_page_does_not_scroll_sideways(url, new_page):
    page = new_page(viewport={"width": 1200, "height": 900})
    open_app(page, url)
    page.set_viewport_size({"width": 400, "height": 900})
    page.wait_for_function(
        "(selector) => document.querySelector(selector)._fullLayout.width < 400", arg=CHART
    )
    assert overflow(page) == 0


def test_chart_in_a_tab_is_drawn_when_the_tab_opens(url, browser_page):
    open_app(browser_page, url)
    inside = browser_page.locator("[role=tabpanel] .accelboard-plot")
    browser_page.get_by_role("tab", name="Hidden").click()
    expect(inside).to_have_attribute("data-state", "drawn")
    drawn = inside.locator(".main-svg").first.bounding_box()
    assert drawn["width"] == pytest.approx(inside.bounding_box()["width"], abs=1)


def test_chart_has_a_name_and_a_reserved_height(url, browser_page):
    browser_page.route(f"**/{assets.PLOTLY_PATH}", lambda route: time.sleep(1) or route.continue_())
    browser_page.goto(url)
    chart = browser_page.get_by_role("figure", name="Accuracy by epoch")
    expect(chart).to_have_attribute("data-state", "loading")
    assert chart.bounding_box()["height"] == 300
    expect(chart).to_have_attribute("data-state", "drawn")
    assert chart.bounding_box()["height"] == 300


def test_missing_library_is_said_in_words_and_tried_again(url, browser_page):
    browser_page.route(f"**/{assets.PLOTLY_PATH}", lambda route: route.abort())
    browser_page.goto(url)
    message = browser_page.locator(".st-key-live [role=status]")
    expect(message).to_contain_text("could not be drawn")
    browser_page.unroute_all()
    expect(browser_page.locator(".st-key-live [data-state=drawn]")).to_be_visible()
    expect(message).to_be_hidden()


def test_copy_link_puts_the_address_into_the_clipboard(url, new_page):
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    open_app(page, f"{url}/?name=one&name=two")
    button = page.get_by_role("button", name="Copy link")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".spoken")).to_have_text("Copied")
    expect(button.locator(".answer")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == f"{url}/?name=one&name=two"
    expect(button.locator(".label")).to_be_visible()


def test_copy_link_works_on_a_host_that_the_browser_does_not_trust(serve, new_page):
    """Plain http and not localhost: there is no navigator.clipboard."""
    url = serve(APP, "--browser.serverAddress=accelboard.test")
    page = new_page()
    open_app(page, address := url.replace("127.0.0.1", "accelboard.test") + "/?name=one")
    assert page.evaluate("navigator.clipboard === undefined")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator(".spoken")).to_have_text("Copied")
    assert pasted(page) == address


def pasted(page: Page) -> str:
    page.evaluate("document.body.append(document.createElement('textarea'))")
    area = page.locator("body > textarea")
    area.evaluate("(element) => element.focus()")
    page.keyboard.press("Control+V")
    return area.input_value()


def test_an_axis_grows_with_its_curve_from_the_first_point_on(url, browser_page):
    open_app(browser_page, f"{url}?start=0&name=alone")
    wait_for_points(browser_page, 5)
    shown, curve = browser_page.evaluate(
        """(selector) => {
        const chart = document.querySelector(selector);
        return [chart._fullLayout.yaxis.range, Array.from(chart._fullData[0].y)];
    }""",
        CHART,
    )
    assert shown[0] <= min(curve)
    assert max(curve) <= shown[1] <= 2 * max(curve)
