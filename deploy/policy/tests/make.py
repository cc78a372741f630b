#!/usr/bin/env python3
"""Writes the messages beside it. The same run gives the same octets: no clock, no chance.

    python3 make.py            # in this folder

A message is written as a worker delivers it: Return-Path, Received with the peer's address, Authentication-Results of our gateway.
"""

import base64
import io
import pathlib
import struct
import zipfile

HERE = pathlib.Path(__file__).parent
OURS = "hartwell.example"


# --- files ---------------------------------------------------------------------------------------

def zipped(files, locked=False):
    """An archive with a fixed date; `locked` sets the flags of encryption, and the content is noise then."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            info = zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 6))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
    octets = bytearray(out.getvalue())
    if locked:
        for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = octets.find(mark)
            while at >= 0:
                octets[at + flags] |= 1
                at = octets.find(mark, at + 4)
    return bytes(octets)


def ole(*names):
    """A compound file (MS-CFB) with empty streams of these names: one sector of allocation, the rest a directory."""
    entries = ["Root Entry", *names]
    sectors = -(-len(entries) // 4)
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    header += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    header += struct.pack("<I", 0) + b"\xff" * (4 * 108)
    chain = [0xFFFFFFFD] + [index + 2 for index in range(sectors - 1)] + [0xFFFFFFFE]
    fat = b"".join(struct.pack("<I", value) for value in chain).ljust(512, b"\xff")
    directory = b""
    for index, name in enumerate(entries):
        text = (name + "\0").encode("utf-16-le")
        right = index + 1 if 0 < index < len(entries) - 1 else 0xFFFFFFFF
        child = 1 if index == 0 and len(entries) > 1 else 0xFFFFFFFF
        directory += text.ljust(64, b"\0") + struct.pack("<HBB", len(text), 5 if index == 0 else 2, 1)
        directory += struct.pack("<III", 0xFFFFFFFF, right, child) + bytes(36) + struct.pack("<IQ", 0xFFFFFFFE, 0)
    return header + fat + directory.ljust(sectors * 512, b"\0")


def ooxml(kind="word", macros=False):
    main = {"word": "document", "xl": "workbook"}[kind]
    files = [
        ("[Content_Types].xml", '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'),
        ("_rels/.rels", '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"/>'),
        (f"{kind}/{main}.xml", '<?xml version="1.0"?><x/>'),
    ]
    if macros:
        files.append((f"{kind}/vbaProject.bin", ole("VBA", "_VBA_PROJECT", "dir")))
    return zipped(files)


PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")
EXE = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0" + bytes(48) + b"This program cannot be run in DOS mode.\r\n"


# --- messages ------------------------------------------------------------------------------------

def word(text):
    """An encoded word (RFC 2047)."""
    return "=?utf-8?B?" + base64.b64encode(text.encode()).decode() + "?="


def b64(octets):
    text = base64.b64encode(octets).decode()
    return "\n".join(text[at:at + 76] for at in range(0, len(text), 76))


def attached(name, octets, kind="application/octet-stream", parameter=None):
    parameter = parameter or f'filename="{name}"'
    return (f"Content-Type: {kind}\nContent-Disposition: attachment; {parameter}\n"
            f"Content-Transfer-Encoding: base64\n\n{b64(octets)}")


def plain(text):
    return f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{text}"


def html(text):
    return f"Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n<!DOCTYPE html><html><body>{text}</body></html>"


def multipart(kind, *parts, mark="=_part"):
    body = "".join(f"--{mark}\n{part}\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="{mark}"\n\n{body}--{mark}--'


def mail(name, author, body, subject="Question", to="Ann Petrie <ann@hartwell.example>", dmarc="none", more="", sender=None,
         peer="203.0.113.25", results="", inbound=True):
    """One file. `body` begins with the fields of its content."""
    address = author.split("<")[-1].rstrip(">").strip() if author else "nobody@else.example"
    sender = address if sender is None else sender
    host = address.split("@")[-1] if "@" in address else "else.example"
    lines = []
    if inbound:
        lines = [
            f"Return-Path: <{sender}>",
            f"Received: from mail.{host} (mail.{host} [{peer}])\n by mx1.{OURS} with ESMTPS; Mon, 30 Nov 2026 09:12:45 +0000",
            f"Authentication-Results: mx1.{OURS}; dmarc={dmarc} header.from={host}{results}",
        ]
    if author is not None:
        lines.append(f"From: {author}")
    lines += [f"To: {to}", f"Subject: {subject}", "Date: Mon, 30 Nov 2026 09:12:40 +0000",
              f"Message-ID: <{name}.1@{host}>", "MIME-Version: 1.0"]
    if more:
        lines.append(more)
    (HERE / f"{name}.eml").write_bytes(("\n".join(lines) + "\n" + body + "\n").encode())


def with_file(name, file_name, octets, kind="application/octet-stream", parameter=None, author="Tom Baker <tom@supplier.example>",
              text="Please find the file attached.\n\nTom", **fields):
    mail(name, author, multipart("mixed", plain(text), attached(file_name, octets, kind, parameter)),
         **{"dmarc": "pass", "subject": "The file you asked for", **fields})


def allow_list():
    mail("alert", "Monitor <alerts@monitor.example>", plain("Host db3 is down: https://192.0.2.80/db3"), "DOWN db3", dmarc="pass")
    mail("alert-forged", "Monitor <alerts@monitor.example>", plain("Host db3 is down: https://192.0.2.80/db3"), "DOWN db3", dmarc="fail")
    mail("drill", "IT Service <it@hartwell-service.example>", html('<p>Your password ends today. <a href="https://drill.example/x">https://www.hartwell.example/login</a>'),
         "Password", peer="198.51.100.70", dmarc="pass")


def impersonation():
    text = plain("Ann,\n\nare you at your desk? I need a favour, quickly, and I am in a meeting.\n\nClara")
    mail("chief-freemail", "Clara Hartwell <office.4711@freemail.example>", text, "Quick task", dmarc="pass")
    mail("chief-homograph", f"{word('Сlаrа Hаrtwell')} <ch@consult.example>", text, "Quick task", dmarc="pass")
    mail("chief-invisible", f"{word('Clara ​Hart­well')}, CEO <ch@consult.example>".replace("?=, CEO", "?= (CEO)"), text, "Quick task")
    mail("chief-title", '"CEO Hartwell, Clara" <ch@consult.example>', text, "Quick task", dmarc="pass")
    mail("chief-at-home", "Clara Hartwell <clara.hartwell@post.example>", plain("Ann, see you on Monday. Clara"), "Monday", dmarc="pass")
    mail("chief-from-here", "Clara Hartwell <clara.hartwell@hartwell.example>", plain("The survey is open.\n\nClara"), "Survey", dmarc="pass")
    mail("chief-similar-person", "Clara Hartmann <c.hartmann@paperworks.example>", plain("Ann, the offer follows tomorrow.\n\nClara Hartmann"), "Offer", dmarc="pass")
    mail("reply-elsewhere", "Northgate Logistics <billing@northgate-logistics.example>", plain("Please answer to this message."), "Your account", dmarc="pass",
         more="Reply-To: northgate.billing@freemail.example")
    mail("reply-same-house", "Northgate Logistics <billing@northgate-logistics.example>", plain("Please answer to this message."), "Your account", dmarc="pass",
         more="Reply-To: Tickets <tickets@help.northgate-logistics.example>")
    mail("mixed-letters", "Support <support@shop.example>", plain("Open the form."), word("Your раssword еnds today"), dmarc="pass")
    mail("two-languages", f"{word('Ольга Петрова')} <olga@supplier.example>", plain("Добрый день!"), word("Встреча: Hartwell meeting"), dmarc="pass")


def attachments():
    with_file("program", "setup.exe", EXE)
    with_file("program-as-picture-type", "holiday.png", EXE, "image/png")
    with_file("script", "invoice.js", b"var shell = new ActiveXObject('WScript.Shell');\n", "text/javascript")
    with_file("script-dots", "invoice.vbs. .", b"MsgBox 1\n")
    with_file("script-pieces", "", b"MsgBox 1\n", parameter="filename*0*=utf-8''invoice%2E;\n filename*1=vbs")
    with_file("text-file", "install-notes.exe.txt", b"How to install it.\n", "text/plain")
    inner = ("From: Tom Baker <tom@supplier.example>\nSubject: Fwd\nMIME-Version: 1.0\n"
             + multipart("mixed", plain("see below"), attached("tool.scr", EXE), mark="=_inner"))
    mail("program-forwarded", "Tom Baker <tom@supplier.example>",
         multipart("mixed", plain("As promised."), "Content-Type: message/rfc822\n\n" + inner), "Fwd: tool", dmarc="pass")
    mail("program-uuencoded", "Tom Baker <tom@supplier.example>", plain("As promised.\n\nbegin 644 tool.exe\n\"35H\n`\nend"), "tool", dmarc="pass")
    with_file("zip-program", "documents.zip", zipped([("readme.txt", b"hello"), ("scan/Invoice.JS", b"x")]), "application/zip")
    with_file("zip-program-dots", "documents.zip", zipped([("invoice.pdf.exe .", b"x")]), "application/zip")
    broken = zipped([("invoice.lnk", b"x")])
    with_file("zip-program-no-directory", "documents.zip", broken[:broken.find(b"PK\x01\x02")], "application/zip")
    with_file("zip-papers", "documents.zip", zipped([("readme.txt", b"hello"), ("offer.pdf", PDF), ("json.md", b"x")]), "application/zip")
    with_file("macros-docm", "offer.docm", ooxml("word", True), "application/vnd.ms-word.document.macroEnabled.12")
    with_file("macros-renamed", "offer.xlsx", ooxml("xl", True), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
    with_file("macros-doc", "offer.doc", ole("WordDocument", "Macros", "VBA", "_VBA_PROJECT"), "application/msword")
    with_file("office-docx", "offer.docx", ooxml("word"), "application/vnd.openxmlformats-officedocument.wordprocessingml.document")
    with_file("office-doc", "offer.doc", ole("WordDocument", "1Table"), "application/msword")
    with_file("locked-zip", "report.zip", zipped([("report.pdf", PDF)], locked=True), "application/zip", text="The password is 1234.")
    with_file("locked-docx", "report.docx", ole("EncryptionInfo", "EncryptedPackage"), "application/vnd.openxmlformats-officedocument.wordprocessingml.document")
    with_file("two-extensions", "Invoice_2026.pdf.html", b"<html><p>Loading</p></html>", "text/html")
    with_file("two-dots", "offer.v2.final.pdf", PDF, "application/pdf")
    with_file("name-turned", "", PDF, "application/pdf", parameter="filename*=utf-8''annual-%E2%80%AEfdp.exe.pdf")
    with_file("name-hebrew", "", PDF, "application/pdf", parameter="filename*=utf-8''%D7%97%D7%A9%D7%91%D7%95%D7%A0%D7%99%D7%AA.pdf")
    with_file("pdf-is-zip", "invoice.pdf", zipped([("a.txt", b"x")]), "application/pdf")
    with_file("pdf-garbage", "invoice.pdf", PDF, "application/pdf")
    with_file("pdf-is-page", "invoice.pdf", b"<html><body>Log in to see the invoice</body></html>", "application/pdf")
    page = b"<html><script>var a=atob('TVqQAAMA');new Blob([a])</script></html>"
    with_file("page-with-script", "secure-message.html", page, "text/html")
    with_file("drawing-with-script", "logo.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>location='//evil.example'</script></svg>", "image/svg+xml")
    with_file("page", "minutes.html", b"<html><p>Minutes of the meeting</p></html>", "text/html")
    part = "Content-Type: text/plain\nContent-Type: application/octet-stream; name=notes.dat\n\nhello"
    mail("type-twice", "Tom Baker <tom@supplier.example>", multipart("mixed", plain("hello"), part), dmarc="pass")
    broken = "Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\n" + b64(PDF).replace("A", "A!", 1)
    mail("base64-garbage", "Tom Baker <tom@supplier.example>", multipart("mixed", plain("hello"), broken), dmarc="pass")
    mail("many-parts", "Tom Baker <tom@supplier.example>", multipart("mixed", *[plain(str(n)) for n in range(100)]), dmarc="pass")
    mail("some-parts", "Tom Baker <tom@supplier.example>", multipart("mixed", *[plain(str(n)) for n in range(99)]), dmarc="pass")

    mail("many-links", "Tom Baker <tom@supplier.example>", plain("\n".join(f"https://supplier.example/{n}" for n in range(200))), dmarc="pass")
    mail("some-links", "Tom Baker <tom@supplier.example>", plain("\n".join(f"https://supplier.example/{n}" for n in range(199))), dmarc="pass")
    mail("long-text", "Tom Baker <tom@supplier.example>", plain("All is well.\n" * 4700), dmarc="pass")
    mail("long-text-below", "Tom Baker <tom@supplier.example>", plain("All is well.\n" * 4600), dmarc="pass")
    mail("fragment", "Tom Baker <tom@supplier.example>", 'Content-Type: message/partial; id="1@supplier.example"; number=1; total=2\n\nTVqQ', dmarc="pass")


def lookalikes():
    text = plain("Please see the new rules for travel.\n\nPeople & Culture")
    for name, domain in [("letters", "hartvvell.example"), ("digit", "hartwe11.example"), ("one-off", "hartwel.example"), ("ending", "hartwell.test"),
                         ("country", "hartwell.co.uk"), ("hyphen", "hart-well.example"), ("word", "hartwell-payroll.test"),
                         ("front", "hartwell.example.login.test"), ("punycode", "xn--hartwll-chg.example")]:
        mail(f"lookalike-{name}", f"People <people@{domain}>", text, "Travel", dmarc="pass")
    mail("lookalike-reply", "People <people@service.test>", text, "Travel", dmarc="pass", more="Reply-To: people@hartwe1l.example")
    mail("lookalike-sender", "People <people@service.test>", text, "Travel", dmarc="pass", sender="bounce@mail.hartwel.example")
    mail("ours-below", "People <people@news.hartwell.example>", text, "Travel", dmarc="pass")
    mail("other-house", "People <people@hartlepool-wells.example>", text, "Travel", dmarc="pass")
    mail("partner-alike", "Billing <billing@northgate-logistic.example>", plain("Our invoice for November follows."), "November", dmarc="pass")
    mail("partner-itself", "Billing <billing@mail.northgate-logistics.example>", plain("Our invoice for November follows."), "November", dmarc="pass")
    mail("link-alike", "Service <service@portal.test>", html('Please <a href="https://login.hartwe1l.example/sso">log in</a>'), "Portal", dmarc="pass")
    mail("link-ours", "Service <service@portal.test>", html('Please <a href="https://login.hartwell.example/sso">log in</a>'), "Portal", dmarc="pass")
    mail("author-idn", "Büro <post@xn--bro-hoa.example>".replace("Büro", word("Büro")), plain("Guten Tag"), "Termin", dmarc="pass")
    mail("author-umlaut", f"{word('Büro')} <post@buero.example>", plain("Guten Tag"), "Termin", dmarc="pass")


def leaks():
    ann = "Ann Petrie <ann@hartwell.example>"
    out = {"to": "Tom Baker <tom@supplier.example>", "inbound": False}
    mail("cards", ann, plain("Book it with my credit card: 4111 1111 1111 1111, 12/28, CVV 123."), "Hotel", **out)
    mail("cards-list", ann, multipart("mixed", plain("as asked"), "Content-Type: text/csv; name=guests.csv\n\nname;no\nA;4111111111111111\nB;5500-0000-0000-0004\nC;3782 822463 10005"), "Guests", **out)
    mail("cards-talk", ann, plain("Do you take my credit card, a Visa? Call me about the CVV."), "Hotel", **out)
    mail("order-numbers", ann, plain("Order 4111 1111 1111 1112, item 4006381333931, tracking 1Z999AA10123456784, tel. +49 30 1234 5678 90."), "Order", **out)
    ibans = "DE89 3704 0044 0532 0130 00\nGB82 WEST 1234 5698 7654 32\nNL91ABNA0417164300\nIBAN:FR1420041010050500013M02606\nch93 0076 2011 6238 5295 7"
    mail("accounts", ann, plain(f"The suppliers:\n{ibans}"), "Suppliers", **out)
    mail("account", ann, plain("Please pay to DE89 3704 0044 0532 0130 00.\n\nInvoice R2D2 3000"), "Invoice", **out)
    mail("accounts-inside", ann, plain(f"The suppliers:\n{ibans}"), "Suppliers", to="Ben <ben@hartwell.example>", inbound=False)
    mail("marked-subject", ann, plain("see below"), "[Confidential] Offer for Silverline", **out)
    mail("marked-line", ann, multipart("mixed", plain("as discussed"), plain("    STRICTLY CONFIDENTIAL\n\nThe plan.")), "The plan", **out)
    with_file("marked-file", "2026_plan_CONFIDENTIAL.docx", ooxml("word"), author=ann, **out)
    mail("marked-footer", ann, plain("See you on Monday.\n\nThis message is confidential. If you are not the person it is for, "
                                     "please delete it. Strictly confidential content is never sent by mail."), "Monday", **out)
    mail("marked-to-partner", ann, plain("see below"), "[Confidential] Offer", to="Kim <kim@silverline.example>", inbound=False)
    crowd = lambda count, host: ",\n ".join(f"p{n}@{host}" for n in range(count))
    mail("everybody", ann, plain("Season's greetings!"), "Greetings", to=crowd(51, "customers.example"), inbound=False)
    mail("some", ann, plain("Season's greetings!"), "Greetings", to=crowd(50, "customers.example"), inbound=False)
    mail("everybody-here", ann, plain("Season's greetings!"), "Greetings", to=crowd(60, OURS), inbound=False)


def bulk():
    news = html('<p>Our offers. <a href="https://shop.example/o">All offers</a>')
    mail("bulk-no-way-out", "Shop <news@shop.example>", news, "Offers of the week", dmarc="pass", more="Precedence: bulk")
    mail("bulk-way-out", "Shop <news@shop.example>", news, "Offers of the week", dmarc="pass",
         more="Precedence: bulk\nList-Unsubscribe: <https://shop.example/u?id=1>, <mailto:u@shop.example>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click")
    mail("away", "Tom Baker <tom@supplier.example>", plain("I am away until Monday."), "Away: offer", dmarc="pass", more="Precedence: junk\nAuto-Submitted: auto-replied")
    mail("wave", "Parcel Service <info@parcels.test>", plain("Your parcel waits: http://parcels.test/p"), "Your parcel could not be delivered")
    mail("wave-proven", "Parcel Service <info@parcels.test>", plain("Your parcel waits: http://parcels.test/p"), "Your parcel could not be delivered", dmarc="pass")


def links():
    def link(name, text, dmarc="pass", **more):
        mail(name, "Service <service@portal.test>", html(text), "Your portal", dmarc=dmarc, **more)
    link("misleading", '<a href="https://portal.test/login">https://www.silverbank.example/login</a>')
    link("misleading-base", '<base href="https://portal.test/"><a href="login">Log in at https://www.silverbank.example</a>')
    link("misleading-style", '<style><!--</style><a href="https:\\\\portal.test\\x">www.silverbank.example</a>')
    link("honest", '<a href="https://login.silverbank.example/">www.silverbank.example</a> <a href="https://portal.test/f">invoice.pdf</a> <a href="https://x.test">Node.js</a>')
    counted = '<a href="https://click.mailer.example/c?u=1">www.shop.example</a>'
    link("counted-clicks", counted, more="List-Unsubscribe: <https://mailer.example/u>")
    link("counted-clicks-unproven", counted, dmarc="none", more="List-Unsubscribe: <https://mailer.example/u>")
    link("address", 'Open <a href="http://3232235777@0xcb.0.0x71.7/x">this</a>')
    link("address-plain", 'Open <a href="https://203.0.113.7/x">this</a>')
    link("address-inside", 'Open <a href="https://10.2.3.4/wiki">the wiki</a> <a href="https://portal.test/10.2.3.4">x</a>')
    link("name-before-host", '<a href="https://www.hartwell.example@portal.test/">open</a>')
    link("at-in-path", '<a href="https://social.example/@hartwell">follow</a> <a href="mailto:ann@hartwell.example">write</a> <a href="https://x.test/?m=a@b.example">x</a>')
    link("carries", '<a href=" da&Tab;ta:text/html;base64,PHNjcmlwdD4=">open the file</a>')
    link("carries-picture", '<img src="data:image/png;base64,iVBORw0KGgo="><a href="https://portal.test/data:x">x</a>')


def fraud():
    change = "Dear partner,\n\nwe have changed our bank account details. Please pay all open invoices to the new account.\n\nBilling"
    mail("bank-change", "Northgate Logistics <billing@northgate-logistics.example>", plain(change), "Payment", dmarc="none")
    mail("bank-change-alike", "Northgate Logistics <billing@northgate-logistics.test>", plain(change), "Payment", dmarc="pass",
         more="Reply-To: northgate@freemail.example")
    mail("bank-change-hidden", "Northgate Logistics <billing@northgate-logistics.example>",
         html(change.replace("bank", "b<!-- x -->a​nk").replace("changed", "ch&#97;nged")), "Payment", dmarc="fail")
    mail("bank-change-freemail", "Northgate Billing <northgate@inbox.example>", plain(change), "Payment", dmarc="pass")
    mail("bank-change-neighbour", "Northgate Logistics <billing@northgate-logistic.example>", plain(change), "Payment", dmarc="pass")
    mail("bank-change-proven", "Northgate Logistics <billing@northgate-logistics.example>", plain(change), "Payment", dmarc="pass")
    mail("bank-talk", "Kim <kim@news.example>", plain("The account of the flood at the river bank was revised."), "Proofs", dmarc="none")
    mail("favour", "C. Hart <ceo.private@freemail.example>", plain("Can you buy gift cards for the team? Keep this between us."), "Hi", dmarc="pass")
    mail("favour-with-link", "Kim <kim@freemail.example>", plain("My gift card shop is open: https://kim.example"), "Hi", dmarc="pass")


def authors():
    mail("forged", "Ann Petrie <ann@hartwell.example>", plain("hello"), "Report", dmarc="fail", sender="x@spam.test")
    mail("forged-below", "Info <info@mail.hartwell.example>", plain("hello"), "Report", dmarc="fail", sender="x@spam.test")
    mail("forged-but-sealed", "Ann Petrie <ann@hartwell.example>", plain("hello\n-- \nlist footer"), "[list] Report", dmarc="fail", sender="list@lists.example",
         results="; arc=pass")
    mail("from-two", "Ann <ann@supplier.example>\nFrom: Clara <clara@hartwell.example>", plain("hello"), "Report", dmarc="none")
    mail("from-none", None, plain("hello"), "Report", dmarc="none", sender="x@spam.test")
    mail("from-two-domains", "Ann <ann@supplier.example>, Ben <ben@other.example>", plain("hello"), "Report", dmarc="none", sender="ann@supplier.example")
    mail("from-two-people", "Ann <ann@supplier.example>, Ben <ben@supplier.example>", plain("hello"), "Report", dmarc="pass", sender="ann@supplier.example")
    mail("name-is-address", '"ann@hartwell.example" <x81@spam.test>', plain("hello"), "Report", dmarc="pass")
    mail("name-is-own-address", '"tom@supplier.example" <tom@mail.supplier.example>'.replace("mail.", ""), plain("hello"), "Report", dmarc="pass")


def rest():
    mail("to-finance", "Tom Baker <tom@supplier.example>", plain("Our invoice follows."), "Invoice", to="Payables <payables@hartwell.example>", dmarc="pass")
    mail("to-finance-virus", "Tom Baker <tom@supplier.example>",
         multipart("mixed", plain("x"), attached("a.exe", EXE)), "Invoice", to="Payables <payables@hartwell.example>", dmarc="pass")
    mail("from-finance", "Payables <payables@hartwell.example>", plain("Paid today."), "Invoice", to="Tom Baker <tom@supplier.example>", inbound=False)
    with_file("winmail", "winmail.dat", b"\x78\x9f\x3e\x22\0\0", "application/ms-tnef")
    with_file("winmail-octets", "WINMAIL.DAT", b"\x78\x9f\x3e\x22\0\0")
    with_file("dat", "winter-mail.dat", b"\x78\x9f\x3e\x22\0\0")
    mail("short-link", "Kim <kim@news.test>", plain("https://bit.example/3xYz"), "Look", dmarc="none")
    mail("short-link-proven", "Kim <kim@news.test>", plain("https://bit.example/3xYz and https://rabbit.example"), "Look", dmarc="pass")


def innocents():
    tom = "Tom Baker <tom@supplier.example>"
    good = {"dmarc": "pass"}
    mail("innocent-plain", tom, plain("Hello Ann,\n\nsee https://supplier.example/offer.\n\nTom"), "Offer 2026/117", **good)
    mail("innocent-newsletter", f"{word('Café Löwe')} <news@cafe.example>", multipart("alternative",
         plain("Our week: https://click.mailer.example/c?u=1"),
         html('<style>p{color:#333}</style><img src="https://mailer.example/p.gif" width=1><p>Our week: <a href="https://click.mailer.example/c?u=1&amp;x=2">cafe.example/menu</a>'
              '<p><a href="https://mailer.example/u">Unsubscribe</a> <a href="mailto:news@cafe.example">Write</a>')),
         word("Menü der Woche – 20 % auf Kaffee"), **good,
         more="List-Id: <news.cafe.example>\nList-Unsubscribe: <https://mailer.example/u?1>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\nPrecedence: bulk",
         sender="bounce-1=ann=hartwell.example@mailer.example")
    event = ("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//x//EN\nMETHOD:REQUEST\nBEGIN:VEVENT\nUID:1@supplier.example\nDTSTART:20261202T090000Z\n"
             "ORGANIZER:mailto:tom@supplier.example\nATTENDEE:mailto:ann@hartwell.example\nSUMMARY:Offer\nEND:VEVENT\nEND:VCALENDAR")
    calendar = f"Content-Type: text/calendar; charset=utf-8; method=REQUEST\n\n{event}"
    mail("innocent-invitation", tom, multipart("mixed", multipart("alternative", plain("Offer, Wednesday 10:00"), html("<p>Offer, Wednesday 10:00"), calendar, mark="=_alt"),
         attached("invite.ics", event.encode(), "application/ics")), "Invitation: Offer", **good)
    dsn = ("Reporting-MTA: dns; mx.supplier.example\nArrival-Date: Mon, 30 Nov 2026 09:00:00 +0000\n\nFinal-Recipient: rfc822; tim@supplier.example\n"
           "Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user")
    mail("innocent-dsn", "Mail Delivery System <MAILER-DAEMON@supplier.example>", multipart("report; report-type=delivery-status",
         plain("Your message could not be delivered."), "Content-Type: message/delivery-status\n\n" + dsn,
         "Content-Type: message/rfc822\n\nFrom: Ann Petrie <ann@hartwell.example>\nTo: tim@supplier.example\nSubject: Minutes\n\nSee attached."),
         "Undelivered Mail Returned to Sender", **good, sender="", more="Auto-Submitted: auto-replied")
    mdn = "Reporting-UA: x\nFinal-Recipient: rfc822;tom@supplier.example\nDisposition: manual-action/MDN-sent-manually; displayed"
    mail("innocent-mdn", tom, multipart("report; report-type=disposition-notification", plain("Your message was read."),
         "Content-Type: message/disposition-notification\n\n" + mdn), "Read: Minutes", **good, sender="", more="Auto-Submitted: auto-replied")
    mail("innocent-list", "Kim Lee <kim@member.example>", multipart("mixed", plain("Has anybody built 2.0 on ARM?"),
         plain("_______________________________________________\nbuilders mailing list -- builders@lists.example\nTo unsubscribe: builders-leave@lists.example")),
         "[builders] ARM", to="builders@lists.example", **good, sender="builders-bounces@lists.example",
         more="List-Id: Builders <builders.lists.example>\nList-Unsubscribe: <mailto:builders-leave@lists.example>\nList-Post: <mailto:builders@lists.example>\nPrecedence: list\nSender: builders-bounces@lists.example")
    mail("innocent-list-broken", "Kim Lee <kim@member.example>", plain("Has anybody built 2.0 on ARM?\n-- \nlist footer https://lists.example/i"), "[b] ARM",
         to="builders@lists.example", dmarc="fail", sender="builders-bounces@lists.example",
         more="List-Id: Builders <builders.lists.example>\nList-Unsubscribe: <mailto:builders-leave@lists.example>\nPrecedence: list")
    mail("innocent-list-rewritten", '"Kim Lee via Builders" <builders@lists.example>', plain("Has anybody built it?"), "[builders] ARM", **good,
         more="Reply-To: Kim Lee <kim@member.example>\nList-Id: <builders.lists.example>\nList-Unsubscribe: <mailto:l@lists.example>")
    signature = b"0\x82\x01\x00\x06\t*\x86H\x86\xf7\r\x01\x07\x02\xa0" + bytes(range(200))
    mail("innocent-smime-signed", tom, multipart('signed; protocol="application/pkcs7-signature"; micalg=sha-256', plain("Signed."),
         attached("smime.p7s", signature, 'application/pkcs7-signature; name="smime.p7s"')), "Signed", **good)
    mail("innocent-smime-encrypted", tom, 'Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"\n'
         f'Content-Disposition: attachment; filename="smime.p7m"\nContent-Transfer-Encoding: base64\n\n{b64(signature)}', "Sealed", **good)
    armour = "-----BEGIN PGP {0}-----\n\niQEzBAEBCAAdFiEE\n=abcd\n-----END PGP {0}-----"
    mail("innocent-pgp-signed", tom, multipart('signed; micalg=pgp-sha512; protocol="application/pgp-signature"', plain("Signed."),
         'Content-Type: application/pgp-signature; name="signature.asc"\nContent-Disposition: attachment; filename="signature.asc"\n\n' + armour.format("SIGNATURE")), "Signed", **good)
    mail("innocent-pgp-encrypted", tom, multipart('encrypted; protocol="application/pgp-encrypted"', "Content-Type: application/pgp-encrypted\n\nVersion: 1",
         'Content-Type: application/octet-stream; name="encrypted.asc"\nContent-Disposition: inline; filename="encrypted.asc"\n\n' + armour.format("MESSAGE")), "...", **good)
    mail("innocent-pgp-inline", tom, plain("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nhello\n" + armour.format("SIGNATURE")), "Signed", **good)
    mail("innocent-utf8", "Jürgen Größe <juergen@supplier.example>", plain("Schöne Grüße 👍 👨‍👩‍👧 ‏שלום"), "Grüße aus Köln – 你好 🎉", **good)
    mail("innocent-forwarded", tom, multipart("mixed", plain("For your information."), "Content-Type: message/rfc822\nContent-Disposition: attachment; filename=\"Offer.eml\"\n\n"
         "From: Lee <lee@other.example>\nTo: tom@supplier.example\nSubject: Offer\nMIME-Version: 1.0\n"
         + multipart("mixed", plain("our offer"), attached("offer.pdf", PDF, 'application/pdf; name="offer.pdf"'), mark="=_inner")), "Fwd: Offer", **good)
    mail("innocent-digest", "Builders <builders@lists.example>", multipart("digest", "\nFrom: kim@member.example\nSubject: a\n\nfirst", "\nFrom: lee@member.example\nSubject: b\n\nsecond"),
         "Digest 12", **good, more="List-Id: <builders.lists.example>\nList-Unsubscribe: <mailto:l@lists.example>")
    mail("innocent-report", "noreply@dmarc.provider.example", attached("provider.example!hartwell.example!1764460800!1764547199.xml.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + bytes(20), "application/gzip"),
         "Report Domain: hartwell.example Submitter: provider.example Report-ID: 1", to="dmarc@hartwell.example", **good)
    for name, author in [("bare", "tom@supplier.example"), ("comment", "tom@supplier.example (Tom Baker)"), ("comma", '"Baker, Tom (Sales)" <tom@supplier.example>'),
                         ("quotes", "\"Tom 'TB' Baker\" <tom@supplier.example>"), ("same", '"tom@supplier.example" <tom@supplier.example>'),
                         ("dots", "T. J. Baker Jr. <tom@supplier.example>"), ("plus", "Tom <tom+news@supplier.example>"), ("capitals", "TOM BAKER <Tom.Baker@Supplier.Example>"),
                         ("folded", "Tom Baker, the one\n of the sales <tom@supplier.example>".replace(",", "")),
                         ("words", "=?iso-8859-1?Q?J=FCrgen?= =?iso-8859-1?Q?_Baker?= <tom@supplier.example>"), ("empty-name", '"" <tom@supplier.example>'),
                         ("pipe", '"Tom | Supplier & Co. [Sales]" <tom@supplier.example>')]:
        mail(f"innocent-from-{name}", author, plain("hello"), "Hello", **good, sender="tom@supplier.example")
    mail("innocent-empty", tom, "Content-Type: text/plain\n", "", **good)
    mail("innocent-no-mime", tom, "", "", **good)
    mail("innocent-huge-to", tom, plain("Invitation to the trade fair."), "Trade fair", **good,
         to=",\n ".join(f"\"Person {n}\" <p{n}@fair{n % 7}.example>" for n in range(600)))
    mail("innocent-undisclosed", tom, plain("Invitation to the trade fair."), "Trade fair", to="undisclosed-recipients:;", **good)
    mail("innocent-pictures", tom, multipart("related", html('<p>See <img src="cid:a@x"> <a href="https://supplier.example">supplier.example</a>'),
         f"Content-Type: image/png; name=\"image001.png\"\nContent-ID: <a@x>\nContent-Disposition: inline; filename=\"image001.png\"\nContent-Transfer-Encoding: base64\n\n{b64(PNG)}"), "Picture", **good)
    mail("innocent-office", tom, multipart("mixed", plain("The papers."), attached("offer.docx", ooxml("word"), "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
         attached("figures.xlsx", ooxml("xl"), "application/octet-stream"), attached("offer.pdf", PDF, "application/pdf"), attached("all.zip", zipped([("offer.pdf", PDF)]), "application/x-zip-compressed")),
         "The papers", **good)
    mail("innocent-markup", "Air <no-reply@air.example>", html('<script type="application/ld+json">{"@type":"FlightReservation"}</script><p>Your flight AB123, booking 4711-0815-1234-5678.'), "Booking", **good)
    mail("innocent-quoted", tom, "Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n<p>Sch=F6ne Gr=FC=DFe <a href=3D\"https:=\n//supplier.example/?a=3D1\">hier</a>", "Gruss", **good)
    mail("innocent-flowed", tom, "Content-Type: text/plain; charset=us-ascii; format=flowed; delsp=yes\n\nThis text goes on and \non.\n> quoted", "Flowed", **good)
    mail("innocent-vacation", tom, plain("I am away."), "Out of office", **good, sender="", more="Auto-Submitted: auto-replied\nPrecedence: bulk\nX-Auto-Response-Suppress: All")
    mail("innocent-ticket", '"Lee (Support)" <support@help.example>', plain("Your ticket 4711 was answered: https://help.example/4711"), "[#4711] Printer", **good,
         more="Reply-To: Support <support+id4711@help.example>\nAuto-Submitted: auto-generated")
    mail("innocent-voice", "Telephone <voice@hartwell.example>", multipart("mixed", plain("A message of 12 s from +44 20 7946 0000"), attached("message.wav", b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav")), "Voice message", **good)
    mail("innocent-scan", "Copier <copier@hartwell.example>", multipart("mixed", plain(""), attached("Scan_20261130_0912.pdf", PDF, "application/pdf")), "Scan", **good)
    mail("innocent-contact", tom, multipart("mixed", plain("My card."), attached("tom.vcf", b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Tom\r\nEND:VCARD\r\n", "text/vcard")), "Contact", **good)
    mail("innocent-small-sender", "Lee <lee@small.example>", plain("See you at the fair on Monday.\n\nLee, +44 20 7946 0000"), "The fair on Monday", dmarc="none")
    mail("innocent-out", "Ann Petrie <ann@hartwell.example>", multipart("alternative", plain("Hello Tom, call +49 30 901820. Order 2026-11-30-0001."), html("<p>Hello Tom, call +49 30 901820.")),
         "Re: Offer", to="Tom Baker <tom@supplier.example>", inbound=False)


for write in (allow_list, impersonation, attachments, lookalikes, leaks, bulk, links, fraud, authors, rest, innocents):
    write()
