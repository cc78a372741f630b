"""smtplib, imaplib and poplib against a running node: sends, reads, flags, searches, moves, deletes."""

import imaplib
import os
import poplib
import smtplib
import ssl
import time
from email.message import EmailMessage

PASSWORD = os.environ["PASSWORD"]
HOST = "127.0.0.1"
TLS = ssl.create_default_context()
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE


def port(name):
    return int(os.environ[name])


def expect(condition, what):
    if not condition:
        raise SystemExit(f"expected: {what}")


# Submission: refused in clear, refused with a wrong password, then a message with an attachment.
with smtplib.SMTP(HOST, port("SUBMISSION"), timeout=30) as smtp:
    smtp.ehlo()
    expect("auth" not in smtp.esmtp_features, "no AUTH before STARTTLS")
    smtp.starttls(context=TLS)
    smtp.ehlo()
    expect("PLAIN" in smtp.esmtp_features["auth"], "AUTH PLAIN after STARTTLS")
    expect("8bitmime" in smtp.esmtp_features and "smtputf8" in smtp.esmtp_features, "8BITMIME and SMTPUTF8")
    try:
        smtp.login("alice@example.test", "wrong")
        expect(False, "a wrong password is refused")
    except smtplib.SMTPAuthenticationError as error:
        expect(error.smtp_code == 535, f"535, not {error}")
    smtp.login("alice@example.test", PASSWORD)
    message = EmailMessage()
    message["From"] = "Alice <alice@example.test>"
    message["To"] = "Bob <bob@example.test>"
    message["Subject"] = "Grüße mit Anhang"
    message.set_content("Schöne Grüße\n.\n..dots\n")
    message.add_attachment(bytes(range(256)) * 2000, maintype="application", subtype="octet-stream", filename="bytes.bin")
    expect(smtp.send_message(message) == {}, "nobody refused")
    # A sender that is not hers, and somebody who is not there, are refused.
    for sender, recipient in [("bob@example.test", "alice@example.test"), ("alice@example.test", "nobody@example.test")]:
        try:
            smtp.sendmail(sender, [recipient], "Subject: no\r\n\r\nno\r\n")
            expect(False, f"{sender} to {recipient} is refused")
        except (smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused):
            smtp.rset()

# IMAP, on the clear port with STARTTLS.
imap = imaplib.IMAP4(HOST, port("IMAP"))
imap.starttls(TLS)
try:
    imap.login("bob@example.test", "wrong")
    expect(False, "a wrong password is refused")
except imaplib.IMAP4.error:
    pass
imap.login("bob@example.test", PASSWORD)
deadline = time.monotonic() + 60
while True:
    _, data = imap.select("INBOX")
    if int(data[0]) == 1:
        break
    expect(time.monotonic() < deadline, "the message arrives")
    time.sleep(0.05)
_, data = imap.fetch("1", "(UID FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE INTERNALDATE)")
line = data[0] if isinstance(data[0], bytes) else b"".join(part for part in data[0])
expect(b"bytes.bin" in line and b"ENVELOPE" in line, f"the attachment in {line}")
_, data = imap.fetch("1", "(BODY.PEEK[2])")
import base64  # noqa: E402

expect(base64.b64decode(data[0][1]) == bytes(range(256)) * 2000, "the attachment is whole")
_, data = imap.search("UTF-8", "SUBJECT", '"mit Anhang"')
expect(data[0] == b"1", f"search finds it: {data}")
imap.literal = "Schöne".encode()
_, data = imap.search("UTF-8", "BODY")
expect(data[0] == b"1", f"search in the body finds it: {data}")
expect(imap.store("1", "+FLAGS", r"(\Flagged $Work)")[0] == "OK", "STORE")
_, data = imap.fetch("1", "(FLAGS)")
expect(b"\\Flagged" in data[0] and b"$Work" in data[0], f"flags in {data}")
expect(imap.create("Projects/2026")[0] == "OK", "CREATE")
expect(imap.uid("COPY", "1:*", "Projects/2026")[0] == "OK", "UID COPY")
expect(imap.uid("MOVE", "1:*", "Trash")[0] == "OK", "UID MOVE")
expect(int(imap.select("INBOX")[1][0]) == 0, "INBOX is empty after MOVE")
expect(int(imap.select("Projects/2026")[1][0]) == 1, "the copy is there")
_, data = imap.fetch("1", "(FLAGS)")
expect(b"$Work" in data[0], f"keywords travel with COPY: {data}")
expect(imap.store("1", "+FLAGS", r"(\Deleted)")[0] == "OK", "STORE deleted")
expect(imap.expunge()[1] == [b"1"], "EXPUNGE")
expect(imap.append("INBOX", r"(\Seen)", None, b"Subject: appended\r\n\r\nbody\r\n")[0] == "OK", "APPEND")
expect(imap.rename("Projects/2026", "Projects/later")[0] == "OK", "RENAME")
expect(imap.delete("Projects/later")[0] == "OK", "DELETE")
expect(imap.create("../escape")[0] == "NO", "../ is refused")
imap.logout()
imap = imaplib.IMAP4_SSL(HOST, port("IMAPS"), ssl_context=TLS)
imap.login("bob@example.test", PASSWORD)
expect(int(imap.select("Trash")[1][0]) == 1, "Trash over TLS")
imap.logout()

# POP3: STLS, then TLS; UIDL stable; deletion only at QUIT.
pop3 = poplib.POP3(HOST, port("POP3"), timeout=30)
pop3.stls(TLS)
pop3.user("bob@example.test")
pop3.pass_(PASSWORD)
expect(pop3.stat()[0] == 1, "one message")
uidl = pop3.uidl()[1]
expect(b"Subject: appended" in pop3.top(1, 0)[1], "TOP")
pop3.dele(1)
pop3.close()
pop3 = poplib.POP3_SSL(HOST, port("POP3S"), timeout=30, context=TLS)
pop3.user("bob@example.test")
pop3.pass_(PASSWORD)
expect(pop3.stat()[0] == 1, "a dropped connection deletes nothing")
expect(pop3.uidl()[1] == uidl, "UIDL is stable")
pop3.dele(1)
pop3.quit()
pop3 = poplib.POP3_SSL(HOST, port("POP3S"), timeout=30, context=TLS)
pop3.user("bob@example.test")
pop3.pass_(PASSWORD)
expect(pop3.stat()[0] == 0, "QUIT deletes")
pop3.quit()
print("all good")
