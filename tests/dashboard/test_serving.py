"""`python -m dashboard`: where it listens, what it says, and several of them on one store."""

import errno
import gzip
import re
import signal
import socket
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect

from dashboard import __main__ as serving
from dashboard import frontend, links
from dashboard.components import assets
from engine import launch, supervision
from engine.settings import Settings
from storage import database, views
from tests.browsing import settle
from tests.dashboard.pages import finished
from tests.processes import alive, eventually, free_port, healthy, lab

NEEDED = re.compile(r"static/(?:js|css)/[\w.-]+")


def at(address, port, store="/nowhere"):
    return Settings(store=store, address=address, port=port)


def test_two_dashboards_on_one_store_share_its_supervisor(tmp_path):
    with lab(tmp_path / "store") as here:
        ports = [free_port(), free_port()]
        started = []
        for port in ports:
            here.env["ACCELBOARD_PORT"] = str(port)
            started.append(here.start("-m", "dashboard", "--store", str(here.store)))
        for port, process in zip(ports, started, strict=True):
            eventually(lambda port=port: healthy(port))
            said = here.output_of(process)
            assert f"Accelboard: http://127.0.0.1:{port}\nStore: {here.store}\n" in said
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_accelboard") as answer:
                assert answer.read().decode() == str(here.store)
        for page, is_named in (("compare?runs=a", True), ("hardware", False)):
            with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/{page}") as answer:
                assert (assets.PLOTLY_PATH in answer.read().decode()) is is_named
        assert alive(launch.supervisor_pid(here.settings))
        log = (here.store / "supervisor.log").read_text()
        assert log.count("Supervising") == 1

        again = here.start("-m", "dashboard")
        assert again.wait(30) == 0
        assert f"Accelboard is running already: http://127.0.0.1:{ports[1]}" in (
            here.output_of(again)
        )
        of_another = here.start("-m", "dashboard", "--store", str(tmp_path / "other"))
        assert of_another.wait(30) == 1
        assert f"Port {ports[1]} of 127.0.0.1 is taken by another program." in (
            here.output_of(of_another)
        )
        assert not (tmp_path / "other").exists()

        for port, process in zip(ports, started, strict=True):
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
            assert here.output_of(process) == (
                f"Accelboard: http://127.0.0.1:{port}\nStore: {here.store}\n\n"
                "The dashboard has stopped. Runs go on.\n"
            )
        assert alive(launch.supervisor_pid(here.settings))


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_free_port_is_free(address):
    assert serving.why_not_there(at(address, free_port())) is None


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("no host", "Address 'no host' names no host. Set ACCELBOARD_ADDRESS to 127.0.0.1"),
        ("a" * 80, "names no host."),
        ("203.0.113.7", "Address '203.0.113.7' is none of this host's."),
    ],
)
def test_a_mistyped_address_is_no_port_that_is_taken(address, why):
    assert why in serving.why_not_there(at(address, free_port()))


def test_a_port_that_is_taken_names_another_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Choose another: ACCELBOARD_PORT={port + 1} make run" in (
            serving.why_not_there(at("127.0.0.1", port))
        )


@pytest.mark.parametrize(
    ("code", "port", "why"),
    [
        (errno.EACCES, 80, "Port 80 is for programs with more rights. Choose one from 1024 on"),
        (errno.EADDRINUSE, 65_535, "Choose another: ACCELBOARD_PORT=8502 make run"),
        (errno.ENOBUFS, 99, "Port 99 of '::' cannot be opened: No buffer space. Choose another"),
    ],
)
def test_what_the_system_refuses_is_told_apart(code, port, why):
    assert why in serving.refusal(OSError(code, "No buffer space"), "::", port)


def test_a_store_that_cannot_be_made_is_said_before_an_address(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with lab(tmp_path / "store") as here:
        here.env["ACCELBOARD_PORT"] = str(free_port())
        process = here.start("-m", "dashboard", "--store", str(tmp_path / "file" / "store"))
        assert process.wait(30) == 1
        said = here.output_of(process)
        assert said.startswith(f"The store in '{tmp_path}/file/store' cannot be used:")
        assert "ACCELBOARD_STORE=/path/to/store make run" in said


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory):
    """A dashboard under the path /accel, and its store."""
    with lab(tmp_path_factory.mktemp("prefixed") / "store") as here:
        port = free_port()
        here.env |= {"ACCELBOARD_PORT": str(port), "STREAMLIT_SERVER_BASE_URL_PATH": "/accel/"}
        with supervision.locked(here.store):
            process = here.start("-m", "dashboard")
            base = f"http://127.0.0.1:{port}/accel"
            eventually(lambda: healthy(port, "/accel"))
            assert f"Accelboard: {base}\n" in here.output_of(process)
            assert here.start("-m", "dashboard").wait(30) == 0  # it finds the one that is there
            yield base, here.store
            process.terminate()
            process.wait()


def test_under_a_path_every_address_of_ours_leads_where_it_led(prefixed):
    base, store = prefixed
    run_id = finished(store)
    (store / "runs" / run_id).mkdir(parents=True)
    (store / "runs" / run_id / "trainer.log").write_text("a line")
    with database.opened(store) as db:
        view = views.create(db, name="v", page="compare", state={"runs": [run_id]}, by="ann")
    for asked, led in {
        f"/v/{view}": f"/compare?runs={run_id}",
        f"/run/{run_id}": f"/run?id={run_id}",
        "/runs": "/",
        f"/export/{run_id}": f"/export/{run_id}",
        f"/files/{run_id}/trainer.log": f"/files/{run_id}/trainer.log",
        f"/points.csv?run={run_id}&key=train_loss": f"/points.csv?run={run_id}&key=train_loss",
    }.items():
        with urllib.request.urlopen(base + asked) as answer:
            assert (answer.status, answer.url) == (200, base + led)
            is_file = "attachment" in answer.headers.get("content-disposition", "")
            assert is_file == (asked == led)  # Streamlit answers what it does not know with a page
    for page in links.PAGES:
        with urllib.request.urlopen(f"{base}/{page}") as answer:
            assert "<title>Accelboard</title>" in answer.read().decode()
    for unknown in ("v/none", "none", "run/a/b", "index.html", "%3Cb%3E"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{base}/{unknown}")
        assert refused.value.code == 404
        told = refused.value.read().decode()
        assert "<a href='/accel/'>All runs</a>" in told
        assert "<b>" not in told


def fetched(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return answer.headers, answer.read()


def test_streamlits_scripts_come_compressed_to_who_takes_that(prefixed):
    base, _ = prefixed
    for name in (frontend.scripts("")[0], "static/css/index.*.css", "static/js/protobuf.*.js"):
        (path,) = frontend.STATIC.glob(name)
        url = f"{base}/{path.relative_to(frontend.STATIC).as_posix()}"
        for _ in range(2):  # compressed, then remembered
            headers, body = fetched(url, **{"Accept-Encoding": "gzip, br"})
            assert headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(body) == path.read_bytes()
        assert "immutable" in headers["Cache-Control"]
        for accepted in ({}, {"Accept-Encoding": "br, gzip;q=0.0"}):
            plain, body = fetched(url, **accepted)
            assert plain["Content-Encoding"] is None
            assert body == path.read_bytes()
        kind = "css" if path.suffix == ".css" else "javascript"
        assert headers["Content-Type"] == f"text/{kind}; charset=utf-8"
        part, body = fetched(url, **{"Accept-Encoding": "gzip", "Range": "bytes=1-3"})
        assert part["Content-Range"].startswith("bytes 1-3/")
        assert body == path.read_bytes()[1:4]
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetched(f"{base}/static/js/..%2f..%2findex.html", **{"Accept-Encoding": "gzip"})
    assert refused.value.code in (400, 404)


@pytest.mark.browser
@pytest.mark.parametrize("path", ["", "compare?runs={}&runs={}", "hardware", "studies"])
def test_a_page_names_the_scripts_and_styles_that_it_needs_and_no_others(prefixed, new_page, path):
    base, store = prefixed
    url = f"{base}/{path.format(finished(store), finished(store, seed=7))}"
    document = fetched(url)[1].decode()
    named = NEEDED.findall(document)
    assert len(named) == len(set(named))
    streamlits = (frontend.STATIC / "index.html").read_text()
    for line in document.splitlines():  # without the names that are ours
        if (found := NEEDED.search(line)) and found[0] not in streamlits:
            document = document.replace(line, "")
    asked = []
    page = new_page(permissions=["local-network-access"])  # for a document that comes from here
    page.route(url, lambda route: route.fulfill(body=document, content_type="text/html"))
    page.on("request", lambda request: asked.append(request.url.partition("/accel/")[2]))
    page.goto(url)
    settle(page)
    eventually(lambda: page.title() and set(named) <= set(asked))  # a call lets events come
    assert set(filter(NEEDED.fullmatch, asked)) == set(named)


@pytest.mark.browser
def test_under_a_path_pages_link_to_each_other_and_to_files(prefixed, browser_page):
    base, store = prefixed
    first, second = finished(store, "first"), finished(store, "second")
    (store / "runs" / first).mkdir(parents=True)
    (store / "runs" / first / "trainer.log").write_text("a line")
    page = browser_page
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda answer: answer.status < 400 or failed.append(answer.url))
    page.goto(f"{base}/compare?runs={first}&runs={second}")
    page.locator(f'.cmp a[href*="{first}"]').first.click()
    assert {url for url in asked if url.endswith("/health")} == {f"{base}/_stcore/health"}
    assert failed == []
    expect(page.locator("h1.page-title")).to_have_text("first", timeout=20_000)
    assert page.evaluate("location.href") == f"{base}/run?id={first}"
    page.get_by_role("tab", name="Files").click()
    whole = page.get_by_role("link", name="Download the whole run")
    assert whole.get_attribute("href") == f"/accel/export/{first}"
    page.goto(f"{base}/none")
    expect(page.locator("main p")).to_have_text(["There is no page 'none' here.", "All runs"])
    page.get_by_role("link", name="All runs").click()
    expect(page.locator("h1.page-title")).to_have_text("Runs", timeout=20_000)
