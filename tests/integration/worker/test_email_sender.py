"""email.send: the right words to the right address, once, and nothing for deleted accounts."""

from uuid import uuid4

import pytest

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.jobs import EMAIL_SEND, EmailSend, EmailTemplate
from twelvefold.identifiers import new_id


@pytest.fixture
def somebody(owners):
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
async def test_a_letter_arrives_in_text_and_html_with_the_job_s_message_id(
    bench, registry, somebody, mailbox, template
):
    user_id, address = somebody
    job_id = await send(bench, user_id, template)
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
    (letter,) = mailbox.to(address)
    assert letter["Message-ID"] == f"<{job_id}@mail.example>"
    text = letter.get_body(("plain",)).get_content()
    html = letter.get_body(("html",)).get_content()
    assert "https://app.test/verify?token=abc&x=1" in text
    assert "https://app.test/verify?token=abc&amp;x=1" in html
    # Whoever registers chooses the name: it greets addresses that are proven, and no others.
    is_proven = template not in {
        EmailTemplate.WELCOME, EmailTemplate.VERIFY, EmailTemplate.CHANGE_EMAIL
    }  # fmt: skip
    assert ("Ada &lt;b&gt;Lovelace&lt;/b&gt;" in html) is is_proven
    assert ("Lovelace" in text) is is_proven
    # What was sent stands in no row.
    row = await bench.row(job_id)
    assert "token" not in str(row["payload"])
    assert row["result"] is None


async def test_a_letter_to_nobody_is_rejected_not_retried(bench, registry):
    job_id = await send(bench, new_id())
    async with bench.running(registry):
        await bench.becomes("rejected", job_id)
    record = await bench.record(job_id)
    assert (record.error, record.attempts) == ("the email is no longer needed", 0)


async def test_a_letter_waits_for_users_to_come_back(bench, registry, owners, somebody, mailbox):
    user_id, address = somebody
    owners.away = True
    job_id = await send(bench, user_id)
    async with bench.running(registry):
        await bench.becomes("failed", job_id)
        owners.away = False
        await bench.becomes("succeeded", job_id)
    assert len(mailbox.to(address)) == 1


async def test_a_letter_that_is_sent_again_can_be_recognised(bench, registry, somebody, mailbox):
    user_id, address = somebody
    job_id = await send(bench, user_id)
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
        # As after a worker that died between the mail and the completion.
        await bench.sql.execute("UPDATE jobs.jobs SET status = 'queued' WHERE id = $1", job_id)
        await bench.becomes("succeeded", job_id)
    assert len({letter["Message-ID"] for letter in mailbox.to(address)}) == 1
