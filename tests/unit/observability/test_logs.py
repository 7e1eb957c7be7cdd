"""Log lines: one JSON object each, from every logger, with ids and without secrets."""

import io
import json
import logging
import secrets
import sys

import pytest
import structlog

from twelvefold.context import RequestContext, request_context
from twelvefold.observability.logs import configure_logs, request_log
from twelvefold.settings import EnvironmentSettings


@pytest.fixture
def output():
    stream = io.BytesIO()
    configured(stream)
    return stream


def configured(stream: io.BytesIO, **settings: str) -> None:
    given = EnvironmentSettings.model_validate({"environment": "testing", **settings})
    configure_logs(given, service="demo", stream=stream)


def lines(stream: io.BytesIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_holds_time_level_event_and_service(output):
    structlog.get_logger("shop.orders").warning("sold_out", article=7)
    (line,) = lines(output)
    assert list(line) == ["time", "level", "event", "service", "logger", "article"]
    assert line["level"] == "warning"
    assert line["event"] == "sold_out"
    assert line["service"] == "demo"
    assert line["logger"] == "shop.orders"
    assert str(line["time"]).endswith("Z")


def test_inside_a_request_its_ids_are_on_every_line(output):
    context = RequestContext("r-1", trace_id="a" * 32, span_id="b" * 16, log_fields={"job": "j-1"})
    with request_context(context):
        structlog.get_logger().info("ours")
        logging.getLogger("library").warning("theirs")
    structlog.get_logger().info("outside")
    ours, theirs, outside = lines(output)
    for line in (ours, theirs):
        assert line["request_id"] == "r-1"
        assert line["trace_id"] == "a" * 32
        assert line["span_id"] == "b" * 16
        assert line["job"] == "j-1"
    assert "request_id" not in outside


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_the_line_of_a_request_is_like_any_other(output, log_format):
    configured(output, log_format=log_format)
    fields = {"method": "GET", "route": None, "status": 404, "path": "/a?token=hunter2"}
    context = RequestContext("r-1", trace_id="a" * 32, span_id="b" * 16)
    with request_context(context):
        request_log()(dict(fields))
        structlog.get_logger("twelvefold.request").info("request", **fields)
    fast, usual = (line.partition(b" ")[2] for line in output.getvalue().splitlines())
    assert b"hunter2" not in output.getvalue()
    if log_format == "json":
        fast, usual = ({**line, "time": ""} for line in lines(output))
        assert list(fast) == list(usual)
    assert fast == usual


def test_the_line_of_a_request_is_not_written_below_the_level(output):
    configured(output, log_level="WARNING")
    request_log()({"status": 200})
    assert lines(output) == []


def test_the_standard_librarys_loggers_write_the_same_lines(output):
    logging.getLogger("sqlalchemy.pool").error("away: %s", "db", extra={"attempt": 3})
    (line,) = lines(output)
    assert line["event"] == "away: db"
    assert line["level"] == "error"
    assert line["logger"] == "sqlalchemy.pool"
    assert line["attempt"] == 3
    assert line["service"] == "demo"


@pytest.mark.parametrize("name", ["uvicorn.error", "arq.worker", "sqlalchemy.engine.Engine"])
def test_a_library_with_its_own_handler_writes_only_lines_in_our_format(name, capsys):
    theirs = logging.StreamHandler(sys.stderr)
    theirs.setFormatter(logging.Formatter("their own form: %(message)s"))
    logging.getLogger(name).addHandler(theirs)
    logging.getLogger(name).propagate = False
    stream = io.BytesIO()
    configured(stream)
    context = RequestContext("r-1", trace_id="a" * 32, span_id="b" * 16)
    with request_context(context):
        try:
            raise ConnectionError("redis://:hunter2@cache/0 is away")
        except ConnectionError:
            logging.getLogger(name).exception("%s failed", "it")
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("it failed", "error", name)
    assert (line["request_id"], line["trace_id"]) == ("r-1", "a" * 32)
    assert "ConnectionError" in str(line["exception"])
    assert "hunter2" not in stream.getvalue().decode()
    assert capsys.readouterr().err == ""


def test_libraries_are_quiet_below_a_warning_and_uvicorn_logs_no_access(output):
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.access").warning("GET /")
    logging.getLogger("httpx").info("HTTP Request")
    assert lines(output) == []


def test_the_level_is_that_of_the_settings(output):
    structlog.get_logger().debug("no")
    configured(output, log_level="ERROR")
    structlog.get_logger().warning("no")
    structlog.get_logger().error("yes")
    assert [line["event"] for line in lines(output)] == ["yes"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_not_written_by_key_by_shape_or_in_a_traceback(output, log_format):
    configured(output, log_format=log_format)
    log = structlog.get_logger()
    log.info("login", password="hunter2", user={"refresh_token": "hunter2"})
    log.info("called with Bearer hunter2hunter2")
    logging.getLogger("library").warning("redis://:hunter2@cache/0 is away")
    password = "hunter2"
    try:
        raise RuntimeError(f"password={password}")
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("library").exception("failed too")
    text = output.getvalue().decode()
    assert text.count("\nRuntimeError: ") + text.count("\\nRuntimeError: ") == 2
    assert "hunter2" not in text


def test_values_that_are_not_json_are_written_too(output):
    structlog.get_logger().info("odd", lone="\ud800", raw=b"\xff", what=object(), where={1: {2}})
    (line,) = lines(output)
    assert line["event"] == "odd"


def test_a_closed_pipe_causes_no_error():
    class Gone(io.BytesIO):
        def write(self, data: object) -> int:
            raise BrokenPipeError

    configured(Gone())
    structlog.get_logger().info("hello")
    logging.getLogger("library").warning("hello")


def test_on_a_pipe_the_format_is_json_and_on_a_terminal_readable(monkeypatch):
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    written = io.BytesIO()
    terminal = Terminal(written, encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", terminal)
    configure_logs(EnvironmentSettings(environment="testing"), service="demo")
    structlog.get_logger("x").info("hello", size=3)
    text = written.getvalue().decode()
    assert "hello" in text
    assert "\x1b[" in text
    assert not text.startswith("{")


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("logger", [structlog.get_logger, logging.getLogger])
def test_a_traceback_shows_no_local_variable(log_format, logger):
    output = io.BytesIO()
    configured(output, log_format=log_format)

    def hash_it(entered: str) -> None:
        longer = entered * 2
        raise RuntimeError(f"cannot hash {len(longer)} characters")

    password = secrets.token_hex(6) + "x"  # not a literal, because a traceback shows source lines
    try:
        hash_it(password)
    except RuntimeError:
        logger("demo").exception("failed")
    text = output.getvalue().decode()
    assert "in hash_it" in text
    assert "cannot hash 26 characters" in text
    assert password not in text
    assert "entered = " not in text


def test_untrusted_text_is_escaped_on_the_console(output):
    configured(output, log_format="console")
    hostile = "/\x1b[2J\x9b31m\u202e"
    structlog.get_logger().info("request", path=f"{hostile}\nforged", headers=[hostile])
    logging.getLogger("library").warning(hostile)
    try:
        raise RuntimeError(hostile)
    except RuntimeError:
        structlog.get_logger().exception("failed")
    text = output.getvalue().decode()
    assert "\nforged" not in text
    assert all(char.isprintable() or char in "\n\t" for char in text)
