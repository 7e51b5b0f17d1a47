"""Send mail when a run begins and when it has come to its end, with the counts of the summary.

Use:    MAIL_TO=me@site.org mpingest start --event-handler mail_report.py /data/incoming /tempZone/home/lab/incoming
Change: MAIL_SERVER (host:port), MAIL_TO and MAIL_FROM, here or in the environment.
Note:   a mail that can't be sent at the begin keeps the run from starting; at the end it is a note in the summary.
"""

import os
import smtplib
from email.message import EmailMessage

from mpingest.handler.core import Core
from mpingest.handler.operations import Operation

SERVER = os.environ.get("MAIL_SERVER", "localhost:25")
TO = os.environ.get("MAIL_TO", "root@localhost")
FROM = os.environ.get("MAIL_FROM", "mpingest@localhost")
COUNTS = ("entries", "change_new", "change_modified", "outcome_done", "outcome_failed", "bytes_sent")


def send(subject, text):
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, FROM, TO
    message.set_content(text)
    with smtplib.SMTP(SERVER, timeout=30) as server:
        server.send_message(message)


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.PUT_SYNC

    @staticmethod
    def pre_job(hdlr_cls, logger, meta):
        send(f"{meta['job_name']}: run {meta['run']} begins", f"{meta['root']} -> {meta['target']}")

    @staticmethod
    def post_job(hdlr_cls, logger, meta):
        total = meta["summary"]["total"]
        lines = [f"{name:16} {total[name]:>12,}" for name in COUNTS]
        send(f"{meta['job_name']}: run {meta['run']} is done", "\n".join(lines))
