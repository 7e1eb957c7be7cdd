"""email.send: one email to the right address, and none to deleted accounts."""

from uuid import uuid4

import pytest

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.jobs import EMAIL_SEND, EmailSend, EmailTemplate
from twelvefold.identifiers import new_id


@pytest.fixture
def recipient(owners):
    """An account and its address, unique in the shared mailbox."""
    user_id, address = new_id(), f"ada.{uuid4().hex}@example.com"
    owners.emails[user_id] = EmailContent(
        to=address, name="Ada <b>Lovelace</b>", link="https://app.test/verify?token=abc&x=1"
    )
    return user_id, address


async def send(bench, user_id, template=EmailTemplate.WELCOME):
    async with bench.producer.transaction() as transaction:
        return await bench.jobs.enqueue(
            transaction, EMAIL_SEND, EmailSend(template=template, user_id=user_id)
        )


@pytest.mark.parametrize("template", list(EmailTemplate))
async def test_an_email_arrives_as_text_and_html_with_the_job_s_message_id(
    bench, registry, recipient, mailbox, template
):
    user_id, address = recipient
    job_id = await send(bench, user_id, template)
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
    (email,) = mailbox.to(address)
    assert email["Message-ID"] == f"<{job_id}@mail.example>"
    text = email.get_body(("plain",)).get_content()
    html = email.get_body(("html",)).get_content()
    assert "https://app.test/verify?token=abc&x=1" in text
    assert "https://app.test/verify?token=abc&amp;x=1" in html
    # Anyone can choose a name on registration: only emails to verified addresses contain it.
    is_verified = template not in {
        EmailTemplate.WELCOME, EmailTemplate.VERIFY, EmailTemplate.CHANGE_EMAIL
    }  # fmt: skip
    assert ("Ada &lt;b&gt;Lovelace&lt;/b&gt;" in html) is is_verified
    assert ("Lovelace" in text) is is_verified
    # No row contains the content.
    row = await bench.row(job_id)
    assert "token" not in str(row["payload"])
    assert row["result"] is None


async def test_an_email_to_a_deleted_account_is_rejected_and_not_retried(bench, registry):
    job_id = await send(bench, new_id())
    async with bench.running(registry):
        await bench.becomes("rejected", job_id)
    record = await bench.record(job_id)
    assert (record.error, record.attempts) == ("the email is no longer needed", 0)


async def test_an_email_is_retried_until_users_is_available(
    bench, registry, owners, recipient, mailbox
):
    user_id, address = recipient
    owners.unavailable = True
    job_id = await send(bench, user_id)
    async with bench.running(registry):
        await bench.becomes("failed", job_id)
        owners.unavailable = False
        await bench.becomes("succeeded", job_id)
    assert len(mailbox.to(address)) == 1


async def test_a_repeated_email_has_the_same_message_id(bench, registry, recipient, mailbox):
    user_id, address = recipient
    job_id = await send(bench, user_id)
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
        # As after a worker that crashed between the email and the completion.
        await bench.sql.execute("UPDATE jobs.jobs SET status = 'queued' WHERE id = $1", job_id)
        await bench.becomes("succeeded", job_id)
    assert len({email["Message-ID"] for email in mailbox.to(address)}) == 1
