#!/usr/bin/env python3
"""Writes the messages of this folder: shapes in which mail comes, after what programs really send. The same octets each time.

    python3 tests/corpus/make.py

Nobody's mail is in them: names, words and numbers are made up. expected.tsv says what every room must find in each.
"""
import base64
import pathlib
import quopri

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE / "messages"
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def lines(text):
    return text.replace("\r\n", "\n").replace("\n", "\r\n")


def b64(octets, width=76):
    text = base64.b64encode(octets).decode()
    return "\r\n".join(text[i : i + width] for i in range(0, len(text), width)) + "\r\n"


def qp(text, charset="utf-8"):
    return quopri.encodestring(text.encode(charset)).decode().replace("\n", "\r\n")


def word(text, charset="utf-8", how="B"):
    octets = text.encode(charset)
    if how == "B":
        return f"=?{charset}?B?{base64.b64encode(octets).decode()}?="
    return "=?%s?Q?%s?=" % (charset, "".join("_" if o == 32 else chr(o) if chr(o).isalnum() and o < 128 else "=%02X" % o for o in octets))


def write(name, *pieces):
    octets = b"".join(lines(piece).encode() if isinstance(piece, str) else piece for piece in pieces)
    (OUT / f"{name}.eml").write_bytes(octets)


def head(subject, sender="Ann Petrie <ann@sender.example>", to="Bob <bob@ours.example>", more=""):
    return (
        f"From: {sender}\nTo: {to}\nSubject: {subject}\nDate: Mon, 30 Nov 2026 10:00:00 +0100\n"
        f"Message-ID: <1.{abs(hash_of(subject))}@sender.example>\n{more}"
    )


def hash_of(text):
    value = 7
    for letter in text:
        value = (value * 31 + ord(letter)) % 1_000_003
    return value


MIME = "MIME-Version: 1.0\n"


def desktop():
    write("outlook-related",
        head("RE: Offer for the 3rd floor", more=MIME + 'Content-Type: multipart/related;\n\tboundary="_004_AM0PR0000000000000000000000000000AM0PR0000eur_";\n\ttype="multipart/alternative"\nThread-Topic: Offer\nThread-Index: AdAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\nX-MS-Has-Attach: yes\nX-MS-Exchange-Organization-SCL: -1\nContent-Language: en-GB\n'),
        "\n--_004_AM0PR0000000000000000000000000000AM0PR0000eur_\nContent-Type: multipart/alternative;\n\tboundary=\"_000_AM0PR0000000000000000000000000000AM0PR0000eur_\"\n\n",
        "--_000_AM0PR0000000000000000000000000000AM0PR0000eur_\nContent-Type: text/plain; charset=\"Windows-1252\"\nContent-Transfer-Encoding: quoted-printable\n\n",
        qp("Dear Bob,\n\nthe price is 1.200 \u20ac \u2013 \u201cnet\u201d.\n", "cp1252"),
        "\n--_000_AM0PR0000000000000000000000000000AM0PR0000eur_\nContent-Type: text/html; charset=\"Windows-1252\"\nContent-Transfer-Encoding: quoted-printable\n\n",
        qp('<html xmlns:o="urn:schemas-microsoft-com:office:office"><head><style><!-- p.MsoNormal {margin:0cm;} --></style></head><body><p class="MsoNormal">Dear Bob,<o:p></o:p></p><p>the price is 1.200 \u20ac <img src="cid:image001.png@01DA0000.00000000"></p></body></html>\n', "cp1252"),
        "\n--_000_AM0PR0000000000000000000000000000AM0PR0000eur_--\n\n--_004_AM0PR0000000000000000000000000000AM0PR0000eur_\nContent-Type: image/png; name=\"image001.png\"\nContent-Description: image001.png\nContent-Disposition: inline; filename=\"image001.png\"; size=70;\n\tcreation-date=\"Mon, 30 Nov 2026 09:00:00 GMT\"\nContent-ID: <image001.png@01DA0000.00000000>\nContent-Transfer-Encoding: base64\n\n",
        b64(PNG), "\n--_004_AM0PR0000000000000000000000000000AM0PR0000eur_--\n")
    write("outlook-tnef",
        head("Minutes", more=MIME + 'Content-Type: multipart/mixed; boundary="----_=_NextPart_001_01C00000.00000000"\nX-MS-TNEF-Correlator: <1@sender.example>\n'),
        "\nThis is a multi-part message in MIME format.\n\n------_=_NextPart_001_01C00000.00000000\nContent-Type: text/plain;\n\tcharset=\"us-ascii\"\n\nSee the minutes.\n\n------_=_NextPart_001_01C00000.00000000\nContent-Type: application/ms-tnef;\n\tname=\"winmail.dat\"\nContent-Transfer-Encoding: base64\n\n",
        b64(b"\x78\x9f\x3e\x22\x01\x00" + bytes(60)), "\n------_=_NextPart_001_01C00000.00000000--\n")
    write("apple-mail",
        head(word("Fotos vom Ausflug \U0001f4f7"), more='Content-Type: multipart/alternative;\n\tboundary="Apple-Mail=_11111111-2222-3333-4444-555555555555"\nMime-Version: 1.0 (Mac OS X Mail 16.0 \\(3774.300.61.1.2\\))\n'),
        "\n\n--Apple-Mail=_11111111-2222-3333-4444-555555555555\nContent-Transfer-Encoding: quoted-printable\nContent-Type: text/plain;\n\tcharset=utf-8\n\n",
        qp("Sch\u00f6ne Gr\u00fc\u00dfe\n\n"),
        "\n--Apple-Mail=_11111111-2222-3333-4444-555555555555\nContent-Type: multipart/mixed;\n\tboundary=\"Apple-Mail=_AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE\"\n\n\n--Apple-Mail=_AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE\nContent-Transfer-Encoding: 7bit\nContent-Type: text/html;\n\tcharset=us-ascii\n\n<html><head><meta http-equiv=\"content-type\" content=\"text/html; charset=us-ascii\"></head><body>Look:<br></body></html>\n--Apple-Mail=_AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE\nContent-Disposition: inline;\n\tfilename*=utf-8''Ausflug%20%C3%BCber%20Land.pdf\nContent-Type: application/pdf;\n\tx-unix-mode=0644;\n\tname=\"=?utf-8?Q?Ausflug_=C3=BCber_Land=2Epdf?=\"\nContent-Transfer-Encoding: base64\n\n",
        b64(PDF), "\n--Apple-Mail=_AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE\nContent-Transfer-Encoding: 7bit\nContent-Type: text/html;\n\tcharset=us-ascii\n\n<html><body><br></body></html>\n--Apple-Mail=_AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE--\n\n--Apple-Mail=_11111111-2222-3333-4444-555555555555--\n")
    write("thunderbird-flowed",
        head("Re: plan", more="References: " + "\n ".join(f"<{n}.abcdefghijklmnop@mail.sender.example>" for n in range(40)) + "\nIn-Reply-To: <39.abcdefghijklmnop@mail.sender.example>\nUser-Agent: Mozilla Thunderbird\nContent-Language: en-US\n" + MIME + "Content-Type: text/plain; charset=UTF-8; format=flowed; delsp=yes\nContent-Transfer-Encoding: 8bit\n"),
        "\nThis line goes on \non the next one.\n\n> quoted \n> text\n>> twice\n-- \nAnn \u00e4\u00f6\n".encode().replace(b"\n", b"\r\n"))
    write("gmail-base64",
        head(word("Fwd: \u0437\u0430\u044f\u0432\u043a\u0430"), more=MIME + 'Content-Type: multipart/alternative; boundary="000000000000a1b2c305f0000000"\n'),
        '\n--000000000000a1b2c305f0000000\nContent-Type: text/plain; charset="UTF-8"\nContent-Transfer-Encoding: base64\n\n',
        b64("\u0414\u043e\u0431\u0440\u044b\u0439 \u0434\u0435\u043d\u044c\n\n---------- Forwarded message ---------\n".encode()),
        '--000000000000a1b2c305f0000000\nContent-Type: text/html; charset="UTF-8"\nContent-Transfer-Encoding: base64\n\n',
        b64("<div dir=\"ltr\">\u0414\u043e\u0431\u0440\u044b\u0439 \u0434\u0435\u043d\u044c</div>".encode()), "--000000000000a1b2c305f0000000--\n")


def bulk():
    write("newsletter",
        head(word("Sale \u2014 last day!", how="Q"), sender='"Shop, The" <news=bob=ours.example@bounce.shop.example>', more="List-Unsubscribe: <https://shop.example/u?t=1>,\n <mailto:u@shop.example?subject=u>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\nFeedback-ID: 1:2:3:shop\nPrecedence: bulk\n" + MIME + 'Content-Type: multipart/alternative; charset="UTF-8"; boundary="b1=_x"\n'),
        "\n--b1=_x\nContent-Type: text/plain; charset=\"UTF-8\"\nContent-Transfer-Encoding: 7bit\n\nLast day: https://shop.example/r?u=1\n\n--b1=_x\nContent-Type: text/x-amp-html; charset=\"UTF-8\"\nContent-Transfer-Encoding: 7bit\n\n<!doctype html><html amp4email><body>Last day</body></html>\n\n--b1=_x\nContent-Type: text/html; charset=\"UTF-8\"\nContent-Transfer-Encoding: quoted-printable\n\n",
        qp('<html><body style="margin:0">' + '<table width="100%"><tr><td>' * 30 + '<a href="https://shop.example/r?u=1&amp;x=2">Last day</a>' + "</td></tr></table>" * 30 + '<img src="https://shop.example/o.gif" width="1" height="1"></body></html>\n'),
        "\n--b1=_x--\n")
    write("mailing-list",
        "Received: from lists.example (lists.example [192.0.2.7])\n\tby mx.ours.example (Postfix) with ESMTPS id 1ABC\n\tfor <bob@ours.example>; Mon, 30 Nov 2026 09:00:01 +0000 (UTC)\nDKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=lists.example; s=s; t=1;\n h=From:To:Subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\n b=AAAA\nARC-Seal: i=1; a=rsa-sha256; cv=none; d=lists.example; s=s; b=AAAA\nSender: talk-bounces@lists.example\nX-BeenThere: talk@lists.example\nX-Mailman-Version: 2.1.39\nPrecedence: list\nList-Id: Talk about things <talk.lists.example>\nList-Post: <mailto:talk@lists.example>\nErrors-To: talk-bounces@lists.example\nReply-To: Talk about things <talk@lists.example>\n",
        head("[Talk] things and\n others", sender="Ann Petrie via Talk <talk@lists.example>", to="talk@lists.example", more=MIME + 'Content-Type: multipart/mixed; boundary="===============0001=="\n'),
        '\n--===============0001==\nContent-Type: text/plain; charset="utf-8"\nContent-Transfer-Encoding: base64\n\n', b64(b"What about things?\n"),
        '\n--===============0001==\nContent-Type: text/plain; charset="us-ascii"\nMIME-Version: 1.0\nContent-Transfer-Encoding: 7bit\nContent-Disposition: inline\n\n_______________________________________________\nTalk mailing list\n\n--===============0001==--\n')
    digest = "".join(f"--dig\n\nFrom: {n}@sender.example\nSubject: part {n}\nMessage-ID: <{n}@d.example>\n\nText {n}\n\n" for n in range(3))
    write("digest", head("Talk Digest, Vol 1", sender="talk-request@lists.example", more=MIME + 'Content-Type: multipart/digest; boundary="dig"\n'), "\nToday's topics\n\n" + digest + "--dig--\nEnd of the digest\n")
    write("calendar-invite",
        head("Invitation: planning", more=MIME + 'Content-Type: multipart/mixed; boundary="m"\n'),
        '\n--m\nContent-Type: multipart/alternative; boundary="a"\n\n--a\nContent-Type: text/plain; charset=utf-8\n\nPlanning on Monday\n\n--a\nContent-Type: text/calendar; charset=utf-8; method=REQUEST\nContent-Transfer-Encoding: 8bit\n\nBEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nUID:1@sender.example\nSUMMARY:Planning \u2013 Q1\nEND:VEVENT\nEND:VCALENDAR\n\n--a--\n\n--m\nContent-Type: application/ics; name="invite.ics"\nContent-Disposition: attachment; filename="invite.ics"\nContent-Transfer-Encoding: base64\n\n',
        b64(b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"), "--m--\n")


def machines():
    report = lambda kind, second, third: MIME + f'Content-Type: multipart/report; report-type={kind};\n\tboundary="rep"\nAuto-Submitted: auto-replied\n' + "\n--rep\nContent-Type: text/plain; charset=us-ascii\n\nThis is the mail system.\n\n--rep\n" + second + "\n--rep\n" + third + "\n--rep--\n"
    write("bounce", head("Undelivered Mail Returned to Sender", sender="MAILER-DAEMON@mx.sender.example (Mail Delivery System)", more=report("delivery-status",
        "Content-Description: Delivery report\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.sender.example\nArrival-Date: Mon, 30 Nov 2026 09:00:00 +0000\n\nFinal-Recipient: rfc822; x@gone.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n",
        "Content-Description: Undelivered Message Headers\nContent-Type: text/rfc822-headers\n\nFrom: bob@ours.example\nSubject: hi\n")))
    write("read-receipt", head("Read: plan", more=report("disposition-notification",
        "Content-Type: message/disposition-notification\n\nReporting-UA: mail.example; Mail 1.0\nFinal-Recipient: rfc822;ann@sender.example\nDisposition: manual-action/MDN-sent-manually; displayed\n",
        "Content-Type: text/rfc822-headers\n\nSubject: plan\n")))
    write("complaint", head("FW: spam", sender="feedback@provider.example", more=report("feedback-report",
        "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: Feedback/1.0\nVersion: 1\nSource-IP: 192.0.2.1\n",
        "Content-Type: message/rfc822\n\nFrom: shop@ours.example\nTo: x@provider.example\nSubject: Sale\n\nBuy.\n")))
    write("cron", "From: root@db3.ours.example (Cron Daemon)\nTo: root@db3.ours.example\nSubject: Cron <root@db3> /usr/local/bin/backup --all\nX-Cron-Env: <SHELL=/bin/sh>\nX-Cron-Env: <PATH=/usr/bin:/bin>\nMessage-Id: <20261130100000.1ABC@db3.ours.example>\nDate: Mon, 30 Nov 2026 10:00:00 +0100 (CET)\n\ntar: removing leading `/'\n.\n..\nFrom the beginning\n")
    write("copier", "From: <scan@copier.ours.example>\nTo: <bob@ours.example>\nSubject: Scanned image from MX-2600N\nDate: Mon, 30 Nov 26 10:00:00 GMT+1\nMIME-Version: 1.0\nX-Mailer: MX-2600N\nContent-Type: MULTIPART/MIXED; BOUNDARY=\"----boundary_1\"\n\n------boundary_1\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\nContent-Transfer-Encoding: 7BIT\n\nReply to: MX-2600N\n\n------boundary_1\nContent-Type: APPLICATION/PDF; NAME=\"scan0001.pdf\"\nContent-Disposition: ATTACHMENT; FILENAME=\"scan0001.pdf\"\nContent-Transfer-Encoding: BASE64\n\n", b64(PDF, 72), "\n------boundary_1--\n\n")
    write("no-mime", "From: ann@sender.example\nTo: bob@ours.example\nSubject: hi\nDate: 30 Nov 2026 10:00 GMT\n\nNo MIME at all.\n")
    write("header-only", "From: ann@sender.example\nTo: bob@ours.example\nSubject:\nDate: Mon, 30 Nov 2026 10:00:00 +0000\nMessage-ID: <empty@sender.example>\n\n")


def signed():
    write("smime-signed", head("Signed", more=MIME + 'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\n micalg=sha-256; boundary="s"\n'),
        "\nThis is a cryptographically signed message in MIME format.\n\n--s\nContent-Type: text/plain; charset=us-ascii\n\nSigned words.\n\n--s\nContent-Type: application/pkcs7-signature; name=\"smime.p7s\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"smime.p7s\"\n\n", b64(b"\x30\x80" + bytes(40)), "\n--s--\n")
    write("smime-opaque", head("Sealed", more=MIME + 'Content-Type: application/pkcs7-mime; name="smime.p7m"; smime-type=enveloped-data\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename="smime.p7m"\n'), "\n", b64(b"\x30\x80" + bytes(100)))
    write("pgp-encrypted", head("...", more=MIME + 'Content-Type: multipart/encrypted;\n protocol="application/pgp-encrypted";\n boundary="p"\n'),
        '\nThis is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\n--p\nContent-Type: application/pgp-encrypted\nContent-Description: PGP/MIME version identification\n\nVersion: 1\n\n--p\nContent-Type: application/octet-stream; name="encrypted.asc"\nContent-Description: OpenPGP encrypted message\nContent-Disposition: inline; filename="encrypted.asc"\n\n-----BEGIN PGP MESSAGE-----\n\nhQEMA0000000000000\n=AAAA\n-----END PGP MESSAGE-----\n\n--p--\n')
    write("pgp-inline", head("inline", more=""), "\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n- -- \nDashes are escaped.\n-----BEGIN PGP SIGNATURE-----\n\niQEz\n=AAAA\n-----END PGP SIGNATURE-----\n")


def letters():
    subject = "\u4f1a\u8b70\u306e\u304a\u77e5\u3089\u305b"
    write("iso-2022-jp", head("=?ISO-2022-JP?B?%s?=" % base64.b64encode(subject.encode("iso-2022-jp")).decode(), sender="=?ISO-2022-JP?B?%s?= <yamada@sender.example>" % base64.b64encode("\u5c71\u7530".encode("iso-2022-jp")).decode(), more=MIME + "Content-Type: text/plain; charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit\n"), "\n", "\u4f1a\u8b70\u306f\u6708\u66dc\u65e5\u3067\u3059\u3002\r\n".encode("iso-2022-jp"))
    write("gb18030", head(word("\u53d1\u7968", "gb2312"), more=MIME + 'Content-Type: text/plain;\n\tcharset="gb18030"\nContent-Transfer-Encoding: base64\n'), "\n", b64("\u8bf7\u67e5\u6536\u53d1\u7968\u3002\r\n".encode("gb18030")))
    write("koi8-r", head(word("\u041e\u0442\u0447\u0451\u0442", "koi8-r", "Q"), more=MIME + "Content-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: 8bit\n"), "\n", "\u041e\u0442\u0447\u0451\u0442 \u0433\u043e\u0442\u043e\u0432.\r\n".encode("koi8-r"))
    write("euc-kr", head(word("\ud68c\uc758", "euc-kr"), more=MIME + "Content-Type: text/plain; charset=EUC-KR\nContent-Transfer-Encoding: 8bit\n"), "\n", "\ud68c\uc758\uc785\ub2c8\ub2e4.\r\n".encode("euc-kr"))
    half = word("\u00dcber die Br\u00fccke ") + "\n " + word("und zur\u00fcck")
    write("split-words", head(half, sender=word("M\u00fcller, J\u00f6rg") + " <joerg@sender.example>", more=MIME + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"), "\nGr\u00fc\u00dfe\n")
    write("utf8-headers", "From: J\u00f6rg M\u00fcller <j\u00f6rg@m\u00fcller.example>\nTo: bob@ours.example\nSubject: Gr\u00fc\u00dfe ohne Kodierung\nDate: Mon, 30 Nov 2026 10:00:00 +0100\nMessage-ID: <u@m\u00fcller.example>\n" + MIME + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGr\u00fc\u00dfe\n")
    write("latin1-headers", b"From: ann@sender.example\r\nTo: bob@ours.example\r\nSubject: Gr\xfc\xdfe\r\nDate: Mon, 30 Nov 2026 10:00:00 +0100\r\n\r\nGr\xfc\xdfe ohne Kennzeichnung\r\n")
    write("unknown-charset", head("which letters", more=MIME + 'Content-Type: text/plain; charset="unknown-8bit"\nContent-Transfer-Encoding: 8bit\n'), "\nplain words\r\n")
    write("html-only", head("page", more=MIME + "Content-Type: text/html\nContent-Transfer-Encoding: 8bit\n"), '\n<html><head><meta charset="iso-8859-1"><title>no</title><script>var a = "no";</script></head><body><p>Read &amp; answer</p><!-- no --></body></html>\n')


def files():
    attached = lambda disposition, kind="application/pdf": MIME + 'Content-Type: multipart/mixed; boundary="f"\n' + "\n--f\n\nSee the file.\n\n--f\nContent-Type: " + kind + "\n" + disposition + "\nContent-Transfer-Encoding: base64\n\n" + b64(PDF) + "\n--f--\n"
    write("name-rfc2231", head("file", more=attached("Content-Disposition: attachment;\n filename*0*=UTF-8''%E2%82%AC%20offer;\n filename*1=\" for the\";\n filename*2=\" floor.pdf\"")))
    write("name-encoded-word", head("file", more=attached('Content-Disposition: attachment; filename="=?UTF-8?B?%s?="' % base64.b64encode("R\u00fcckruf.pdf".encode()).decode())))
    write("name-of-type", head("file", more=attached("Content-Disposition: attachment", 'application/pdf; name="plain name.pdf"')))
    write("no-text", head("only a file", more=MIME + 'Content-Type: application/pdf; name="alone.pdf"\nContent-Disposition: attachment; filename="alone.pdf"\nContent-Transfer-Encoding: base64\n'), "\n", b64(PDF))
    write("uuencode", head("old ways", more=""), "\nSee below.\n\nbegin 644 notes.txt\n#0V%T\n`\nend\n")
    write("vcard", head("my card", more=MIME + 'Content-Type: multipart/mixed; boundary="v"\n'), '\n--v\nContent-Type: text/plain\n\nHere it is.\n\n--v\nContent-Type: text/vcard; charset=utf-8; name="ann.vcf"\nContent-Disposition: attachment; filename="ann.vcf"\nContent-Transfer-Encoding: 7bit\n\nBEGIN:VCARD\nVERSION:3.0\nFN:Ann Petrie\nEND:VCARD\n\n--v--\n')
    inner = head("third", more=MIME + "Content-Type: text/plain\n") + "\nInnermost words.\n"
    for depth, name in enumerate(["second", "first"]):
        inner = head(name, more=MIME + f'Content-Type: multipart/mixed; boundary="d{depth}"\n') + f"\n--d{depth}\nContent-Type: text/plain\n\nForwarded.\n\n--d{depth}\nContent-Type: message/rfc822\nContent-Disposition: attachment; filename=\"{name}.eml\"\n\n" + inner + f"\n--d{depth}--\n"
    write("forwarded-twice", inner)


def broken():
    write("never-closed", head("cut off", more=MIME + 'Content-Type: multipart/mixed; boundary="n"\n'), "\n--n\nContent-Type: text/plain\n\nStill readable.\n\n--n\nContent-Type: application/pdf; name=\"half.pdf\"\nContent-Transfer-Encoding: base64\n\n" + b64(PDF)[:40])
    write("boundary-missing", head("no boundary", more=MIME + "Content-Type: multipart/mixed\n"), "\nNobody knows where parts begin.\n")
    write("boundary-in-quotes", head("odd boundary", more=MIME + "Content-Type: multipart/mixed; boundary=\"=_a'b(c)d,e/f:g=h?i\"\n"), "\n--=_a'b(c)d,e/f:g=h?i\n\nOne part.\n--=_a'b(c)d,e/f:g=h?i--\n")
    write("base64-garbage", head("dirty base64", more=MIME + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n"), "\nSGVs!bG8g\n\n d29ybGQ=\n-- \nfooter\n")
    write("two-types", head("two types", more=MIME + "Content-Type: text/plain; charset=utf-8\nContent-Type: text/html; charset=utf-8\n"), "\n<b>which</b>\n")
    write("long-lines", head("long lines", more=MIME + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"), "\n" + "word " * 1500 + "\nend\n")
    write("many-hops", "".join(f"Received: from hop{n}.example (hop{n}.example [192.0.2.{n}])\n\tby hop{n + 1}.example with ESMTPS id {n}ABC;\n\tMon, 30 Nov 2026 09:{n:02}:00 +0000\n" for n in range(29, -1, -1)), head("far away"), "\nFrom far away.\n")
    write("undisclosed", head("to many", to="undisclosed-recipients:;", more="Cc: Friends: carl@ours.example, \"Dora, D.\" <dora@ours.example>;\nReply-To: ann@sender.example (Ann (at home))\n"), "\nHello all.\n")
    write("many-recipients", head("all hands", to=",\n ".join(f"Person {n} <p{n}@ours.example>" for n in range(300))), "\nHello.\n")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for write_all in (desktop, bulk, machines, signed, letters, files, broken):
        write_all()
    print(len(list(OUT.glob("*.eml"))), "messages")
