"""The HTML of the pages behind emailed links: forms, results, errors. No script, no request.

Owns texts, layout and headers of the pages. They work with a keyboard and a screen reader (WCAG
2.2): labels, an error summary with the focus, colours for both schemes. A page loads nothing, and
every response has `Referrer-Policy: no-referrer`, so that the token in its URL reaches no third
party.
"""

from __future__ import annotations

import base64
import hashlib
import html
from dataclasses import dataclass

from starlette.responses import HTMLResponse

_STYLE = """
:root { color-scheme: light dark; --text: #1f2933; --page: #fff; --quiet: #52606d;
  --action: #1d4ed8; --on-action: #fff; --fault: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7eb; --page: #14181d; --quiet: #9aa5b1;
  --action: #93c5fd; --on-action: #14181d; --fault: #fca5a5; } }
body { margin: 0; background: var(--page); color: var(--text);
  font: 1.125rem/1.5 system-ui, sans-serif; }
main { max-width: 34rem; margin: 0 auto; padding: 2rem 1rem; }
h1 { font-size: 1.75rem; line-height: 1.2; }
h2 { margin: 0; font-size: 1.125rem; }
label { display: block; font-weight: 600; }
.hint { margin: 0; color: var(--quiet); }
.fault { margin: 0; color: var(--fault); font-weight: 600; }
.summary { border: 3px solid var(--fault); padding: 1rem; margin-bottom: 1.5rem; }
.summary ul { margin: .5rem 0 0; padding-left: 1.25rem; }
.summary a { color: var(--fault); }
input { box-sizing: border-box; width: 100%; margin: .25rem 0 1.5rem; padding: .5rem; font: inherit;
  color: inherit; background: var(--page); border: 2px solid var(--quiet); border-radius: 4px; }
input[aria-invalid] { border-color: var(--fault); }
button { padding: .75rem 1.25rem; font: inherit; font-weight: 600; color: var(--on-action);
  background: var(--action); border: 2px solid transparent; border-radius: 4px; cursor: pointer; }
:focus-visible { outline: 3px solid var(--action); outline-offset: 2px; }
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
# The action is relative, since a gateway may add a prefix, and omits the query.
_FORM = """\
{summary}<h1>{title}</h1>
<p>{text}</p>
<form method="post" action="{path}">
<input type="hidden" name="token" value="{token}">
{fields}<button type="submit">{button}</button>
</form>"""
_SUMMARY = """\
<div class="summary" role="alert" tabindex="-1" autofocus>
<h2>There is a problem</h2>
<ul><li><a href="#password">{fault}</a></li></ul>
</div>
"""
_NEW_FIELD = """\
<label for="password">New password</label>
<p class="hint" id="password-hint">At least 8 characters; a few random words are good.</p>
{fault}<input type="password" id="password" name="password" autocomplete="new-password" required \
aria-describedby="password-hint{described}"{invalid}>
"""


@dataclass(frozen=True, slots=True)
class Form:
    """A page that asks for confirmation before it acts."""

    path: str  # relative to the page's own folder
    title: str
    text: str
    button: str
    asks_password: bool
    done: str
    done_text: str


VERIFY_EMAIL = Form(
    path="verify-email",
    title="Confirm your address",
    text="Press the button to confirm that this email address is yours.",
    button="Confirm the address",
    asks_password=False,
    done="Your address is confirmed",
    done_text="You can close this page.",
)
RESET_PASSWORD = Form(
    path="reset-password",
    title="Choose a new password",
    text="The new password ends every session of your account.",
    button="Set the password",
    asks_password=True,
    done="Your password is set",
    done_text="Log in with it from now on. You can close this page.",
)
UNDO_EMAIL_CHANGE = Form(
    path="undo-email-change",
    title="Undo the change of your address",
    text=(
        "The account gets this email address back, every session ends, and the password stops "
        "working. We send you a link to choose a new one."
    ),
    button="Undo the change",
    asks_password=False,
    done="The change is undone",
    done_text="A link to choose a new password is on its way to your address.",
)


def form_page(form: Form, token: str, fault: str | None = None) -> HTMLResponse:
    """Return the form; with a `fault` of the password the status is 422 and the fault has focus."""
    summary = fields = ""
    if fault is not None:
        summary = _SUMMARY.format(fault=html.escape(fault))
    if form.asks_password:
        shown = f'<p class="fault" id="password-fault">{html.escape(fault)}</p>\n' if fault else ""
        fields = _NEW_FIELD.format(
            fault=shown,
            described=" password-fault" if fault else "",
            invalid=' aria-invalid="true"' if fault else "",
        )
    body = _FORM.format(
        summary=summary,
        title=form.title,
        text=form.text,
        path=form.path,
        token=html.escape(token),
        fields=fields,
        button=form.button,
    )
    title = f"Error: {form.title}" if fault else form.title
    return _page(title, body, 422 if fault else 200)


def done_page(form: Form) -> HTMLResponse:
    """Return the page that states the form's success."""
    return message_page(form.done, form.done_text)


def message_page(
    title: str, text: str, status: int = 200, headers: dict[str, str] | None = None
) -> HTMLResponse:
    """Return a page with a result or an error; an empty line in `text` starts a paragraph.

    `headers` may replace those of the pages, such as Cache-Control.
    """
    paragraphs = [f"<p>{html.escape(part)}</p>" for part in text.split("\n\n")]
    body = "\n".join([f"<h1>{html.escape(title)}</h1>", *paragraphs])
    return _page(title, body, status, headers)


def _page(
    title: str, body: str, status: int, headers: dict[str, str] | None = None
) -> HTMLResponse:
    content = _PAGE.format(title=html.escape(title), style=_STYLE, body=body)
    return HTMLResponse(content, status, {**_HEADERS, **(headers or {})})
