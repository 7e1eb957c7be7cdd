"""Reading of `application/x-www-form-urlencoded` bodies, for the token endpoints and the pages."""

from urllib.parse import parse_qsl

from fastapi import Request

FORM_TYPE = "application/x-www-form-urlencoded"


class FormError(ValueError):
    """The body cannot be read; the message names the fault and repeats none of the input."""


class NotAFormError(FormError):
    """The body is declared as something else than a form."""


async def parse_form(request: Request, *, max_fields: int) -> dict[str, str]:
    """Return the fields of the form, at most `max_fields`.

    An empty field is ignored, a repeated one is an error (RFC 6749 section 3.2).
    Raises NotAFormError, or FormError for a malformed form.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != FORM_TYPE:
        raise NotAFormError(f"the body must be {FORM_TYPE}")
    try:
        pairs = parse_qsl(
            (await request.body()).decode(), max_num_fields=max_fields, errors="strict"
        )
    except ValueError:  # too many fields, or bytes that are no UTF-8
        raise FormError("the form is malformed") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise FormError("a parameter is repeated")
    if any("\0" in value for value in fields.values()):
        raise FormError("a parameter contains a NUL character")
    return fields
