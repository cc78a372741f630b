#!/usr/bin/env python3
"""Makes dkim.json, arc.json and rfc.json: messages, the keys of their signatures, and what a verifier must say of them.

Everything is made here, by code that shares nothing with the verifier under test: canonicalisation after RFC 6376 section 3.4, chains after RFC 8617
section 5.1. Keys come from seeds, so that the same files come out each time. Needs the package cryptography.

    python3 make.py                  writes the files
    python3 make.py --second-opinion also asks dkimpy, and says where it differs
"""

import base64
import hashlib
import json
import math
import random
import re
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

# ---------------------------------------------------------------------------------------------------------------------------------------------
# Keys


def is_prime(number):
    if any(number % small == 0 for small in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31)):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def der(tag, content):
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    length = bytes([size]) if size < 128 else bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + length + content


def der_integer(number):
    return der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


class Rsa:
    """RSA as in RFC 8017, with as many primes as it takes: the large keys are products of small ones, which a verifier can't tell."""

    DIGEST = {
        "sha256": (hashlib.sha256, bytes.fromhex("3031300d060960864801650304020105000420")),
        "sha1": (hashlib.sha1, bytes.fromhex("3021300906052b0e03021a05000414")),
    }

    def __init__(self, bits, exponent=65537, primes=2):
        source = random.Random(f"sluice {bits} {exponent}")
        while True:
            self.primes = []
            while len(self.primes) < primes:
                candidate = source.getrandbits(bits // primes) | 1 | 3 << (bits // primes - 2)
                if is_prime(candidate) and math.gcd(candidate - 1, exponent) == 1:
                    self.primes.append(candidate)
            self.modulus = math.prod(self.primes)
            if self.modulus.bit_length() >= bits - primes:
                break
        self.exponent = exponent
        self.private = pow(exponent, -1, math.lcm(*(prime - 1 for prime in self.primes))) if exponent > 1 else 1

    def sign(self, data, digest):
        function, prefix = self.DIGEST[digest]
        info = prefix + function(data).digest()
        size = (self.modulus.bit_length() + 7) // 8
        padded = b"\0\1" + b"\xff" * (size - len(info) - 3) + b"\0" + info
        number = pow(int.from_bytes(padded, "big"), self.private, self.modulus)
        return number.to_bytes(size, "big")

    def public(self):
        key = der(0x30, der_integer(self.modulus) + der_integer(self.exponent))
        algorithm = der(0x30, bytes.fromhex("06092a864886f70d010101") + b"\5\0")
        return base64.b64encode(der(0x30, algorithm + der(3, b"\0" + key))).decode()

    def record(self, more=""):
        return f"v=DKIM1; k=rsa; {more}p={self.public()}"


class Ed25519:
    def __init__(self, name):
        self.key = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"sluice " + name).digest())

    def sign(self, data, digest):
        # RFC 8463 section 3: what is signed is the hash.
        return self.key.sign(hashlib.sha256(data).digest())

    def record(self):
        raw = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}"


RSA = Rsa(1024)
RSA2048 = Rsa(2048)
OTHER = Rsa(1152)
ED = Ed25519(b"one")

# ---------------------------------------------------------------------------------------------------------------------------------------------
# Canonicalisation and signatures


def relaxed(name, value):
    value = re.sub(r"[ \t]+", " ", value.replace("\r\n", "")).strip(" ")
    return name.lower().strip(" \t") + ":" + value


def canonical(name, value, kind):
    return relaxed(name, value) if kind == "relaxed" else f"{name}:{value}"


def canonical_body(body, kind):
    if body and not body.endswith("\r\n"):
        body += "\r\n"
    if kind == "relaxed":
        lines = [re.sub(r"[ \t]+", " ", line).rstrip(" ") for line in body.split("\r\n")]
        body = "\r\n".join(lines)
    body = re.sub(r"(\r\n)*\Z", "", body)
    if body or kind == "simple":
        body += "\r\n"
    return body


def body_hash(body, kind, digest="sha256", length=None):
    return base64.b64encode(hashlib.new(digest, canonical_body(body, kind).encode()[:length]).digest()).decode()


def picked(fields, names):
    """The fields that `h=` names, each name taking the next one from the bottom (RFC 6376 section 5.4.2)."""
    left, out = list(fields), []
    for name in names:
        for at in range(len(left) - 1, -1, -1):
            if left[at][0].lower().strip(" \t") == name.lower():
                out.append(left.pop(at))
                break
    return out


def signed(key, data, digest="sha256"):
    return base64.b64encode(key.sign(data.encode(), digest)).decode()


def field(name, template, key, before, kind="relaxed", digest="sha256"):
    """A field with `@B@` where its signature goes, signed with what stands before it."""
    data = before + canonical(name, template.replace("@B@", ""), kind)
    return name, template.replace("@B@", signed(key, data, digest))


def message(fields, body):
    return "".join(f"{name}:{value}\r\n" for name, value in fields) + ("" if body is None else "\r\n" + body)


FIELDS = [
    ("Received", " from a.example by b.example;\r\n\tTue, 3 Jan 2017 12:22:54 -0800"),
    ("MIME-Version", " 1.0"),
    ("Message-ID", " <1@example.org>"),
    ("Date", " Thu, 14 Jan 2027 15:00:01 -0800"),
    ("From", " John Doe <john@example.org>"),
    ("To", " arc@example.net"),
    ("Subject", " An\r\n  example"),
]
BODY = "Hey gang,\r\nThis  is a test message. \r\n\r\n--J.\r\n"
NAMES = "from:to:date:subject"

# ---------------------------------------------------------------------------------------------------------------------------------------------
# DKIM

KEYS = {
    "one": RSA.record(),
    "two": RSA2048.record(),
    "ed": ED.record(),
    "other": OTHER.record(),
    "sha1key": RSA.record("h=sha1; "),
    "sha256key": RSA.record("h=sha1:sha256; "),
    "email": RSA.record("s=email; "),
    "star": RSA.record("s=*; "),
    "web": RSA.record("s=web; "),
    "strict": RSA.record("t=s; "),
    "testing": RSA.record("t=y; "),
    "revoked": "v=DKIM1; k=rsa; p=",
    "nokey": "v=DKIM1; k=rsa",
    "badbase64": "v=DKIM1; k=rsa; p=@@@@",
    "badkey": "v=DKIM1; k=rsa; p=" + base64.b64encode(b"no key at all").decode(),
    "version2": RSA.record().replace("DKIM1", "DKIM2"),
    "noversion": RSA.record().replace("v=DKIM1; ", ""),
    "lateversion": RSA.record().replace("v=DKIM1; ", "") + "; v=DKIM1",
    "plain": RSA.record().replace("k=rsa; ", ""),
    "spaced": re.sub(r"(p=.{40})(.*)", "\\1 \t\\2 ; n=a note", RSA.record()),
    "unknownkind": RSA.record().replace("k=rsa", "k=dsa"),
    "edasrsa": RSA.record().replace("k=rsa", "k=ed25519"),
    "rsa512": None,
    "rsa768": None,
    "rsa1023": None,
    "rsa16384": None,
    "exponent1": None,
    "exponent3": None,
}

DKIM = []


def dkim(name, expected, about, *, fields=FIELDS, body=BODY, key=RSA, s="one", c="relaxed/relaxed", h=NAMES, a="rsa-sha256", more="", bh=None,
         length=None, template=None, after=lambda fields, body: (fields, body), how=("DKIM-Signature",), d="example.org"):
    header_kind, body_kind = (c.split("/") + ["simple"])[:2]
    digest = "sha1" if a.endswith("sha1") else "sha256"
    bh = body_hash(body, body_kind, digest, length) if bh is None else bh
    template = template or " v=1; a={a}; c={c}; d={d}; s={s};\r\n\t{more}h={h};\r\n\tbh={bh};\r\n\tb=@B@"
    text = template.format(a=a, c=c, d=d, s=s, more=more, h=h, bh=bh)
    names = [one.strip(" \t\r\n") for one in h.split(":")]
    chosen = picked(fields, names)
    before = "".join(canonical(*one, header_kind) + "\r\n" for one in chosen)
    signature = field(how[0], text, key, before, header_kind, digest)
    fields, body = after([signature, *fields], body)
    DKIM.append({"name": name, "about": about, "expected": expected, "message": message(fields, body)})


def changed(name, old, new):
    def change(fields, body):
        return [(n, v.replace(old, new) if n == name else v) for n, v in fields], body
    return change


def body_changed(old, new):
    return lambda fields, body: (fields, body.replace(old, new))


def make_dkim():
    for c in ("relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple", "relaxed", "simple"):
        dkim(f"pass {c}", "pass", "each canonicalisation (RFC 6376 section 3.4)", c=c)
        dkim(f"changed body {c}", "bad", "another body", c=c, after=body_changed("test", "best"))
        dkim(f"changed field {c}", "bad", "another subject", c=c, after=changed("Subject", "example", "exemple"))
    dkim("no c", "pass", "simple/simple is what is meant (RFC 6376 section 3.5)", c="simple/simple",
         template=" v=1; a={a}; d={d}; s={s}; h={h}; bh={bh}; b=@B@")
    dkim("rsa 2048", "pass", "a longer key", key=RSA2048, s="two")
    dkim("ed25519", "pass", "RFC 8463", key=ED, s="ed", a="ed25519-sha256")
    dkim("ed25519 changed", "bad", "RFC 8463", key=ED, s="ed", a="ed25519-sha256", after=body_changed("test", "best"))
    dkim("another key", "bad", "a good signature by another key", s="other")

    # What relaxed must not mind, and what it must.
    traps = [("From", " John\r\n\tDoe   <john@example.org>\t "), ("TO", "\tarc@example.net"), ("Date", " Thu, 14 Jan 2027\t15:00:01 -0800"),
             ("Subject", "\r\n  An   \r\n\texample  ")]
    dkim("relaxed folding", "pass", "folds, runs and ends of white space, case of names", fields=traps)
    dkim("relaxed blank fold", "pass", "a line of a field that is white space alone", fields=traps[:3] + [("Subject", " An\r\n \r\n\texample")])
    dkim("relaxed space before the colon", "any", "no writer does this (RFC 5322 section 4.5)", fields=traps[:3] + [("Subject ", " An example")])

    def refolded(fields, body):
        return [fields[0], ("FROM", "   John Doe\r\n <john@example.org>"), ("To", " arc@example.net \t"), ("date", "Thu,\t14 Jan 2027 15:00:01 -0800"),
                ("suBject", "An\r\n\t\texample\t")], body
    dkim("relaxed refolded", "pass", "folded otherwise on the way", fields=traps, after=refolded)
    dkim("relaxed split word", "bad", "a fold within a word is white space", after=changed("Subject", "example", "exam\r\n ple"))
    dkim("simple refolded", "bad", "simple minds folds", c="simple/simple", after=changed("Subject", "\r\n  ", " "))
    dkim("empty field", "pass", "a field without a value", fields=FIELDS + [("X-Empty", "")], h=NAMES + ":x-empty")
    dkim("blank field", "pass", "a field of white space", fields=FIELDS + [("X-Empty", " \t \r\n \t ")], h=NAMES + ":x-empty")
    twice = FIELDS + [("Subject", " second")]
    dkim("field twice, both signed", "pass", "from the bottom to the top (RFC 6376 section 5.4.2)", fields=twice, h=NAMES + ":subject")
    dkim("field twice, swapped", "bad", "in another order", fields=twice, h=NAMES + ":subject",
         after=lambda fields, body: (fields[:-2] + [fields[-1], fields[-2]], body))
    dkim("oversigned", "pass", "one more than there are", h=NAMES + ":from:subject")
    dkim("oversigned, then added", "bad", "a field that was signed as missing is there", h=NAMES + ":subject",
         after=lambda fields, body: (fields + [("Subject", " second")], body))
    dkim("missing field named", "pass", "named and not there", h=NAMES + ":x-not-there")
    dkim("h with white space", "pass", "around colons and over lines", h="from : to\r\n\t:date:\r\n subject")
    dkim("h in capitals", "pass", "names in any case", h="FROM:To:dAte:SUBJECT")
    dkim("other field added", "pass", "what is not signed may change", after=lambda fields, body: ([("X-Added", " x")] + fields, body))
    dkim("signature at the end", "pass", "wherever it stands", after=lambda fields, body: (fields[1:] + fields[:1], body))
    dkim("field name in capitals", "pass", "the field's own name in any case", how=("DKIM-SIGNATURE",))

    bodies = {
        "no body": "",
        "one empty line": "\r\n",
        "many empty lines": "\r\n\r\n\r\n",
        "no line end": "text",
        "empty lines at the end": "text\r\n\r\n\r\n",
        "empty lines inside": "a\r\n\r\n\r\nb\r\n",
        "white space at line ends": "a \t\r\nb\t \r\n",
        "runs of white space": "a  b\t\tc \t d\r\n",
        "white space at line starts": " a\r\n\tb\r\n",
        "last line white space": "text\r\n \t \r\n",
        "last lines white space": "text\r\n \r\n\t\r\n  \r\n",
        "white space, then empty lines": "text\r\n  \r\n\r\n",
        "empty lines, then white space": "text\r\n\r\n  \r\n",
        "white space only": "  \t\r\n",
        "white space only, two lines": " \r\n \r\n",
        "white space without line end": "text\r\n  ",
        "white space only without line end": " ",
        "space before the line end that is missing": "text ",
        "lines of dots": ".\r\n..\r\n",
        "a lone CR": "a\rb\r\n",
        "long line": "x" * 5000 + "\r\n",
    }
    for about, body in bodies.items():
        for c in ("relaxed/relaxed", "relaxed/simple"):
            # A body in SMTP ends with its last line, and has no CR alone.
            expected = "any" if "that is missing" in about or "without line end" in about or "lone" in about else "pass"
            dkim(f"body {c.split('/')[1]}: {about}", expected, "RFC 6376 sections 3.4.3 and 3.4.4", body=body, c=c)
    dkim("lines of white space added", "pass", "relaxed ignores them at the end", after=lambda fields, body: (fields, body + " \r\n\t\r\n"))
    dkim("lines of white space taken away", "pass", "relaxed ignores them at the end", body=BODY + " \r\n\t\r\n",
         after=lambda fields, body: (fields, BODY))
    dkim("lines of white space added, simple", "bad", "simple does not", c="relaxed/simple", after=lambda fields, body: (fields, body + " \r\n"))
    dkim("body gone", "bad", "no body where there was one", after=lambda fields, body: (fields, ""))
    dkim("no empty line", "pass", "a message that ends with its header", body="", after=lambda fields, body: (fields, None))

    # Body length
    whole = len(canonical_body(BODY, "relaxed"))
    dkim("l= of all", "bad", "whatever comes behind would be signed too", length=whole, more=f"l={whole}; ")
    dkim("l= and more text", "bad", "an unsigned end (RFC 6376 section 8.2)", length=whole, more=f"l={whole}; ",
         after=lambda fields, body: (fields, body + "Buy!\r\n"))
    dkim("l=0", "bad", "no body is signed", length=0, more="l=0; ")
    dkim("l= too long", "bad", "more than there is (RFC 6376 section 3.5)", more="l=9999; ")
    dkim("l= no number", "bad", "not digits", more="l=x; ")

    # Keys
    small = Rsa(512)
    KEYS["rsa512"] = small.record()
    dkim("rsa 512", "bad", "RFC 8301 section 3.2: below 1024 bits proves nothing", key=small, s="rsa512")
    small = Rsa(768)
    KEYS["rsa768"] = small.record()
    dkim("rsa 768", "bad", "RFC 8301 section 3.2", key=small, s="rsa768")
    small = Rsa(1022)
    KEYS["rsa1023"] = small.record()
    dkim("rsa 1022", "bad", "RFC 8301 section 3.2", key=small, s="rsa1023")
    large = Rsa(16384, primes=32)
    KEYS["rsa16384"] = large.record()
    dkim("rsa 16384", "bad", "too much work for somebody else's message", key=large, s="rsa16384")
    one = Rsa(1024, exponent=1)
    KEYS["exponent1"] = one.record()
    dkim("rsa exponent 1", "bad", "anybody can sign for such a key", key=one, s="exponent1")
    three = Rsa(1024, exponent=3)
    KEYS["exponent3"] = three.record()
    dkim("rsa exponent 3", "any", "some verifiers refuse it", key=three, s="exponent3")
    for s, expected, about in (
        ("sha256key", "pass", "the key allows SHA-256"), ("sha1key", "bad", "the key allows SHA-1 alone"), ("email", "pass", "for mail"),
        ("star", "pass", "for everything"), ("web", "bad", "not for mail"), ("testing", "pass", "a domain that is testing"),
        ("revoked", "bad", "revoked"), ("nokey", "bad", "no key"), ("badbase64", "bad", "not base64"), ("badkey", "bad", "no key at all"),
        ("version2", "bad", "not DKIM1"), ("noversion", "pass", "v= may be missing"), ("lateversion", "bad", "v= must come first"),
        ("plain", "pass", "rsa is what is meant"), ("spaced", "pass", "white space in the key, a note"), ("unknownkind", "bad", "k= unknown"),
        ("edasrsa", "bad", "an RSA key that says ed25519"), ("missing", "bad", "there is no record"), ("strict", "pass", "t=s and i= of the domain"),
    ):
        dkim(f"key {s}", expected, about, s=s)
    dkim("key t=s, i= below", "bad", "t=s forbids domains below (RFC 6376 section 3.6.1)", s="strict", more="i=x@sub.example.org; ")
    dkim("ed25519 with an RSA key", "bad", "algorithm and key differ", key=ED, a="ed25519-sha256")
    dkim("rsa with an ed25519 key", "bad", "algorithm and key differ", s="ed")

    # Times: the verifier's clock stands between the year 2020 and the year 2100.
    dkim("x= past", "bad", "expired (RFC 6376 section 3.5)", more="t=1000000000; x=1000000060; ")
    dkim("x= future", "pass", "not yet expired", more="t=1000000000; x=4102444800; ")
    dkim("x= before t=", "bad", "never valid", more="t=4102444700; x=4102444600; ")
    dkim("t= future", "any", "a clock that is wrong; RFC 6376 section 3.5 lets verifiers ignore it", more="t=4102444800; ")
    dkim("t= no number", "bad", "not digits", more="t=x; ")
    dkim("x= no number", "bad", "not digits", more="x=x; ")

    # Tags
    dkim("h= without From", "bad", "RFC 6376 section 5.4", h="to:date:subject")
    dkim("i= of the domain", "pass", "", more="i=john@example.org; ")
    dkim("i= below the domain", "pass", "", more="i=@sub.example.org; ")
    dkim("i= of another domain", "bad", "RFC 6376 section 3.5", more="i=john@example.com; ")
    dkim("i= that only ends so", "bad", "not a domain below", more="i=john@badexample.org; ")
    dkim("i= without @", "bad", "no identity", more="i=example.org; ")
    dkim("rsa-sha1", "bad", "RFC 8301 section 3.1", a="rsa-sha1")
    dkim("a= unknown", "bad", "an algorithm that nobody knows", a="rsa-sha512")
    dkim("c= unknown", "bad", "a canonicalisation that nobody knows", template=" v=1; a={a}; c=strict/strict; d={d}; s={s}; h={h}; bh={bh}; b=@B@")
    dkim("q= dns/txt", "pass", "the one way to ask", more="q=dns/txt; ")
    dkim("q= unknown", "bad", "no way to ask that is known (RFC 6376 section 3.5)", more="q=http/get; ")
    dkim("unknown tags", "pass", "are ignored", more="zz=1; x-y=2; ".replace("x-y", "x_y"))
    dkim("z= copies", "pass", "for diagnosis", more="z=From:john@example.org|Subject:=20x; ")
    for tag, template in {
        "v": " a={a}; c={c}; d={d}; s={s}; h={h}; bh={bh}; b=@B@",
        "a": " v=1; c={c}; d={d}; s={s}; h={h}; bh={bh}; b=@B@",
        "d": " v=1; a={a}; c={c}; s={s}; h={h}; bh={bh}; b=@B@",
        "s": " v=1; a={a}; c={c}; d={d}; h={h}; bh={bh}; b=@B@",
        "h": " v=1; a={a}; c={c}; d={d}; s={s}; bh={bh}; b=@B@",
        "bh": " v=1; a={a}; c={c}; d={d}; s={s}; h={h}; b=@B@",
    }.items():
        dkim(f"{tag}= missing", "bad", "a tag that must be there", template=template)
        dkim(f"{tag}= empty", "bad", "a tag without its value",
             template=" " + re.sub(rf"(^| ){tag}=[^;]*;", rf"\1{tag}=;", "v=1; a={a}; c={c}; d={d}; s={s}; h={h}; bh={bh};") + " b=@B@")
    dkim("v=2", "bad", "a version to come", template=" v=2; a={a}; c={c}; d={d}; s={s}; h={h}; bh={bh}; b=@B@")
    dkim("tag twice", "bad", "RFC 6376 section 3.2", template=" v=1; a={a}; c={c}; d={d}; d={d}; s={s}; h={h}; bh={bh}; b=@B@")
    dkim("bh= of another body", "bad", "", bh=body_hash("x", "relaxed"))
    dkim("bh= not base64", "bad", "", bh="!!!!")
    dkim("white space in tags", "pass", "around names, signs and values",
         template="\r\n\tv = 1 ; a =\t{a} ;c= {c};d={d} ; s\t=\t{s} ;h={h};\r\n bh\r\n\t= {bh} ; b = @B@")
    dkim("semicolon at the end", "pass", "", template=" v=1; a={a}; c={c}; d={d}; s={s}; h={h}; bh={bh}; b=@B@;")
    dkim("b= first", "pass", "in any order", template=" b=@B@; bh={bh}; h={h}; s={s}; d={d}; c={c}; a={a}; v=1")
    dkim("d= in capitals", "pass", "domains in any case", d="EXAMPLE.ORG")

    def folded(fields, body):
        name, value = fields[0]
        at = value.rindex("b=")
        value = value[:at + 20] + "\r\n\t" + value[at + 20:at + 60] + " \r\n   " + value[at + 60:]
        return [(name, value)] + fields[1:], body
    dkim("b= folded", "pass", "white space inside", after=folded)

    def b(new):
        return lambda fields, body: ([(fields[0][0], re.sub(r"\bb=[^;]*$", f"b={new}", fields[0][1]))] + fields[1:], body)
    dkim("b= empty", "bad", "no signature", after=b(""))
    dkim("b= not base64", "bad", "", after=b("!!!!"))
    dkim("b= short", "bad", "", after=b("AAAA"))
    dkim("b= zeros", "bad", "", after=b(base64.b64encode(bytes(128)).decode()))
    dkim("b= missing", "bad", "", after=lambda fields, body: ([(fields[0][0], re.sub(r";\s*b=[^;]*$", "", fields[0][1]))] + fields[1:], body))
    dkim("no tags", "bad", "", after=lambda fields, body: ([("DKIM-Signature", " nothing")] + fields[1:], body))
    dkim("no value", "bad", "", after=lambda fields, body: ([("DKIM-Signature", "")] + fields[1:], body))


# ---------------------------------------------------------------------------------------------------------------------------------------------
# ARC

ARC = []
RESULTS = " i={i}; lists.example.org;\r\n    spf=pass smtp.mfrom=john@example.org;\r\n    dmarc=pass"
SIGNATURE = " i={i}; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s={s};\r\n    t=12345; h={h};\r\n    bh={bh};\r\n    b=@B@"
SEAL = " i={i}; a=rsa-sha256; cv={cv}; d=example.org; s={s}; t=12345;\r\n    b=@B@"
AAR, AMS, AS = "ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"


class Hop:
    """What one system on the way adds. Each part may be another text than the usual one, or None to be left out after all is signed."""

    def __init__(self, results=RESULTS, signature=SIGNATURE, seal=SEAL, cv=None, h=NAMES, bh=None, key=RSA, seal_key=None, s="one", seal_s=None,
                 digest="sha256", seal_digest="sha256", c="relaxed/relaxed", change=None, body=None, names=(AAR, AMS, AS), number=None):
        self.results, self.signature, self.seal, self.cv, self.h, self.bh = results, signature, seal, cv, h, bh
        self.key, self.seal_key, self.s, self.seal_s = key, seal_key or key, s, seal_s or s
        self.digest, self.seal_digest, self.c, self.change, self.body, self.names, self.number = digest, seal_digest, c, change, body, names, number

    def pass_through(self, sets, fields, body, i):
        i = self.number or i
        cv = self.cv or ("none" if i == 1 else "pass")
        header_kind, body_kind = self.c.split("/")
        if self.change:
            fields, body = self.change(fields, body)
        aar = (self.names[0], self.results.format(i=i))
        bh = body_hash(body, body_kind, self.digest) if self.bh is None else self.bh
        before = "".join(canonical(*one, header_kind) + "\r\n" for one in
                         picked([aar, *flat(sets), *fields], [one.strip(" \t\r\n") for one in self.h.split(":")]))
        ams = field(self.names[1], self.signature.format(i=i, s=self.s, h=self.h, bh=bh), self.key, before, header_kind, self.digest)
        chain = [one for group in sorted(sets, key=lambda group: group[3]) for one in (group[0], group[1], group[2])] + [aar, ams]
        before = "".join(relaxed(*one) + "\r\n" for one in chain)
        seal = field(self.names[2], self.seal.format(i=i, s=self.seal_s, cv=cv), self.seal_key, before, "relaxed", self.seal_digest)
        return [(aar, ams, seal, i)] + sets, fields, body


def arc(name, expected, about, *hops, fields=FIELDS, body=BODY, after=None, arrange=None):
    sets = []

    for i, hop in enumerate(hops, 1):
        sets, fields, body = hop.pass_through(sets, fields, body, i)
    header = []
    for aar, ams, seal, _ in sets:
        header += [seal, ams, aar]
    if arrange:
        header = arrange(header)
    fields = header + list(fields)
    if after:
        fields, body = after(fields, body)
    ARC.append({"name": name, "about": about, "expected": expected, "message": message(fields, body)})


def flat(sets):
    return [one for group in sets for one in group[:3]]


def without(name, number):
    return lambda fields, body: ([one for one in fields if not (one[0] == name and f" i={number};" in one[1])], body)


def in_arc(name, old, new, number=None):
    def change(fields, body):
        hit = lambda one: one[0] == name and (number is None or f" i={number};" in one[1])
        assert any(hit(one) and re.search(old, one[1]) for one in fields), (name, old)
        return [(n, re.sub(old, new, v, count=1)) if hit((n, v)) else (n, v) for n, v in fields], body
    return change


def doubled(name, number):
    def change(fields, body):
        out = []
        for one in fields:
            out.append(one)
            if one[0] == name and f" i={number};" in one[1]:
                out.append(one)
        return out, body
    return change


def make_arc():
    arc("nothing", "none", "no sets")
    arc("nothing, no header", "none", "no header at all", fields=[])
    arc("nothing, no body", "none", "no body", body=None)
    for count in (1, 2, 3, 4, 5, 10, 49, 50):
        arc(f"{count} sets", "pass", "a chain that holds", *[Hop()] * count)
    arc("51 sets", "fail", "RFC 8617 section 4.2.1: 50 at most", *[Hop()] * 51)
    arc("the first signature does not hold any more", "pass", "only the last must (RFC 8617 section 5.2)", Hop(),
        Hop(change=changed("Subject", "example", "exemple")))
    arc("the body changed between", "pass", "the last signature is over the new one", Hop(), Hop(change=body_changed("test", "best")))
    arc("sealed twice by different keys", "pass", "", Hop(), Hop(key=RSA2048, s="two"))
    arc("signature and seal by different keys", "pass", "", Hop(seal_key=RSA2048, seal_s="two"))
    arc("fields in another order", "pass", "wherever they are found (RFC 8617 section 4.2)", Hop(), Hop(), arrange=lambda header: header[::-1])
    arc("fields at the end", "pass", "", Hop(), after=lambda fields, body: (fields[3:] + fields[:3], body))
    arc("names in capitals", "pass", "", Hop(names=(AAR.upper(), AMS.upper(), AS.upper())))

    for number, count in ((1, 1), (1, 2), (2, 2), (2, 3)):
        for name in (AAR, AMS, AS):
            arc(f"set {number} of {count} without {name}", "fail", "an incomplete set", *[Hop()] * count, after=without(name, number))
            arc(f"set {number} of {count} with {name} twice", "fail", "one too many", *[Hop()] * count, after=doubled(name, number))
    arc("set 2 of 3 gone", "fail", "a gap", Hop(), Hop(), Hop(),
        after=lambda fields, body: ([one for one in fields if not (one[0].startswith("ARC-") and " i=2;" in one[1])], body))
    arc("set 1 of 2 gone", "fail", "begins with 2", Hop(), Hop(),
        after=lambda fields, body: ([one for one in fields if not (one[0].startswith("ARC-") and " i=1;" in one[1])], body))
    arc("set 2 of 2 gone", "pass", "as it was before", Hop(), Hop(),
        after=lambda fields, body: ([one for one in fields if not (one[0].startswith("ARC-") and " i=2;" in one[1])], body))
    arc("a gap from the start", "fail", "sealed as 1 and 3", Hop(), Hop(number=3))

    for name in (AAR, AMS, AS):
        for new in ("i=0;", "i=;", "i=x;", "i=-1;", "i=51;", "i=4294967297;", "i=18446744073709551617;", ""):
            arc(f"{name} with `{new}`", "fail", "no number of a set", Hop(), after=in_arc(name, r"i=1;", new))
    arc("i= behind the results", "fail", "i= comes first (RFC 8617 section 4.1.1)", Hop(results=" lists.example.org; i={i}; spf=pass"))
    arc("i= without semicolon", "fail", "", Hop(results=" i={i} lists.example.org spf=pass"))

    for cv, count, expected in (("pass", 1, "fail"), ("fail", 1, "fail"), ("none", 2, "fail"), ("fail", 2, "fail"), ("fail", 3, "fail"), ("maybe", 2, "fail"), ("", 2, "fail")):
        arc(f"set {count} says cv={cv}", expected, "RFC 8617 section 5.2", *[Hop()] * (count - 1), Hop(seal=SEAL.replace("{cv}", cv)))
    arc("pass after fail", "fail", "a chain that failed stays so", Hop(), Hop(cv="fail"), Hop(cv="pass"))
    arc("cv= missing", "fail", "", Hop(seal=SEAL.replace(" cv={cv};", "")))

    # What is changed on the way
    arc("results changed", "fail", "the seal covers them", Hop(), after=in_arc(AAR, "dmarc=pass", "dmarc=fail"))
    arc("first results of two changed", "fail", "every seal covers them", Hop(), Hop(), after=in_arc(AAR, "dmarc=pass", "dmarc=fail", 1))
    arc("signature changed", "fail", "the seal covers it", Hop(), after=in_arc(AMS, "t=12345", "t=12346"))
    arc("first signature of two changed", "fail", "the seals cover it", Hop(), Hop(), after=in_arc(AMS, "t=12345", "t=12346", 1))
    arc("seal changed", "fail", "", Hop(), after=in_arc(AS, "t=12345", "t=12346"))
    arc("first seal of two changed", "fail", "", Hop(), Hop(), after=in_arc(AS, "t=12345", "t=12346", 1))
    arc("subject changed", "fail", "after the last signature", Hop(), Hop(), after=changed("Subject", "example", "exemple"))
    arc("body changed", "fail", "after the last signature", Hop(), after=body_changed("test", "best"))
    arc("white space changed", "pass", "relaxed", Hop(), after=changed("Subject", "An\r\n  example", "  An \t example "))
    arc("white space changed in results", "pass", "the seal is relaxed", Hop(), after=in_arc(AAR, "spf=pass smtp", "spf=pass\r\n\t  smtp"))
    arc("field not signed changed", "pass", "", Hop(), after=changed("MIME-Version", "1.0", "1.1"))

    # Canonicalisation
    for c in ("relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"):
        arc(f"signature {c}", "pass", "RFC 6376 section 3.4", Hop(c=c, signature=SIGNATURE.replace("relaxed/relaxed", c)))
    arc("signature without c=", "pass", "simple/simple is what is meant", Hop(c="simple/simple", signature=SIGNATURE.replace(" c=relaxed/relaxed;", "")))
    arc("signature with an unknown c=", "fail", "", Hop(signature=SIGNATURE.replace("relaxed/relaxed", "strict/strict")))
    arc("last line white space", "pass", "relaxed", Hop(), body="text\r\n \t\r\n")

    # Tags of both
    for name, part, template in ((AMS, "signature", SIGNATURE), (AS, "seal", SEAL)):
        def hop(new, **more):
            return Hop(**{part: new, **more})
        for tag in ("a", "d", "s"):
            usual = re.search(rf" {tag}=[^;]*;", template).group(0)
            arc(f"{name} without {tag}=", "fail", "a tag that must be there", hop(template.replace(usual, "")))
            arc(f"{name} with an empty {tag}=", "fail", "", hop(template.replace(usual, f" {tag}=;")))
        digest = {"digest": "sha1"} if part == "signature" else {"seal_digest": "sha1"}
        arc(f"{name} rsa-sha1", "fail", "RFC 8301 section 3.1", hop(template.replace("sha256", "sha1"), **digest))
        arc(f"{name} unknown algorithm", "fail", "", hop(template.replace("rsa-sha256", "poem-sha256")))
        arc(f"{name} without t=", "pass", "it may be missing", hop(re.sub(r"\s*t=12345;", "", template)))
        arc(f"{name} with an empty t=", "fail", "", hop(template.replace("t=12345", "t=")))
        arc(f"{name} with t=x", "fail", "", hop(template.replace("t=12345", "t=x")))
        arc(f"{name} with white space", "pass", "around signs", hop(template.replace("; ", " ; ").replace("a=", "a =\t").replace(" d=", "\r\n d = ")))
        arc(f"{name} with a semicolon at its end", "pass", "", hop(template + ";"))
        arc(f"{name} with unknown tags", "pass", "are ignored", hop(template.replace(" d=", " zz=1; d=")))
        arc(f"{name} with a tag twice", "fail", "RFC 6376 section 3.2", hop(template.replace(" d=", " d=example.org; d=")))
        arc(f"{name} with a tag in capitals", "fail", "tags mind case", hop(template.replace(" d=", " D=")))
        arc(f"{name} with two semicolons", "fail", "an empty tag", hop(template.replace(" d=", " ; d=")))
        arc(f"{name} with a bad tag", "fail", "a name that is none", hop(template.replace(" d=", " _=x-; d=")))
        if part == "seal":
            arc(f"{name} b= folded", "pass", "", Hop(), after=in_arc(name, r"\bb=(.{30})(.{30})", r"b=\1\r\n\t\2 "))
        arc(f"{name} b= empty", "fail", "", Hop(), after=in_arc(name, r"\bb=[^;]*$", "b="))
        arc(f"{name} b= missing", "fail", "", Hop(), after=in_arc(name, r";\s*b=[^;]*$", ""))
        arc(f"{name} b= not base64", "fail", "", Hop(), after=in_arc(name, r"\bb=[^;]*$", "b=!!!!"))
        arc(f"{name} b= of zeros", "fail", "", Hop(), after=in_arc(name, r"\bb=[^;]*$", "b=" + base64.b64encode(bytes(128)).decode()))
        arc(f"{name} by another key", "fail", "", Hop(key=OTHER) if part == "signature" else Hop(seal_key=OTHER))
        for s in ("missing", "revoked", "badkey", "badbase64", "rsa512"):
            arc(f"{name} key {s}", "fail", "no key that counts",
                Hop(s=s, seal_s="one", key=SMALL if s == "rsa512" else RSA, seal_key=RSA) if part == "signature"
                else Hop(seal_s=s, seal_key=SMALL if s == "rsa512" else RSA))
        arc(f"{name} rsa 2048", "pass", "", Hop(s="two", key=RSA2048, seal_s="one", seal_key=RSA) if part == "signature" else Hop(seal_s="two", seal_key=RSA2048))
    arc("ed25519", "pass", "RFC 8463", Hop(key=ED, s="ed", signature=SIGNATURE.replace("rsa-sha256", "ed25519-sha256"), seal=SEAL.replace("rsa-sha256", "ed25519-sha256")))
    arc("seal with h=", "fail", "RFC 8617 section 4.1.3", Hop(seal=SEAL.replace(" d=", " h=from; d=")))
    arc("seal with bh=", "any", "a tag of signatures", Hop(seal=SEAL.replace(" d=", " bh=AAAA; d=")))

    # Signed fields and body
    arc("signature without bh=", "fail", "", Hop(signature=re.sub(r"\s*bh=\{bh\};", "", SIGNATURE)))
    arc("signature with an empty bh=", "fail", "", Hop(bh=""))
    arc("signature with bh= not base64", "fail", "", Hop(bh="!!!!"))
    arc("signature with bh= of another body", "fail", "", Hop(bh=body_hash("x", "relaxed")))
    arc("signature without h=", "fail", "", Hop(h="", signature=SIGNATURE.replace(" h={h};", "")))
    arc("signature over the results", "pass", "RFC 8617 section 4.1.2 lets it", Hop(h=NAMES + ":arc-authentication-results"))
    arc("signature over the seal", "fail", "RFC 8617 section 4.1.2", Hop(h=NAMES + ":arc-seal"))
    arc("signature over a field that is missing", "pass", "", Hop(h=NAMES + ":x-not-there"))
    arc("signature over a field that was missing", "fail", "", Hop(h=NAMES + ":x-not-there"), after=lambda fields, body: (fields + [("X-Not-There", " x")], body))
    arc("h= in capitals, with white space", "pass", "", Hop(h="FROM : To\r\n\t:date: subject"))
    twice = FIELDS + [("Subject", " second")]
    arc("a field twice", "pass", "from the bottom", Hop(h=NAMES + ":subject"), fields=twice)
    arc("a field twice, swapped", "fail", "", Hop(h=NAMES + ":subject"), fields=twice, after=lambda fields, body: (fields[:-2] + [fields[-1], fields[-2]], body))
    whole = len(canonical_body(BODY, "relaxed"))
    arc("signature with l=", "any", "not one of ARC's tags", Hop(signature=SIGNATURE.replace(" h={h}", f" l={whole}; h={{h}}")))


# ---------------------------------------------------------------------------------------------------------------------------------------------


# The examples of RFC 6376 appendix A.2 and RFC 8463 appendix A.3, with the keys that stand there.
RFC_KEYS = {
    "brisbane._domainkey.example.com":
        "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v"
        "/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB",
    "brisbane._domainkey.football.example.com": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test._domainkey.football.example.com":
        "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
        "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
}
RFC_6376 = """\
DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
        4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
        KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
        4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
"""
RFC_8463 = """\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
"""
RFC = [
    {"name": "RFC 6376 A.2", "about": "simple, RSA", "expected": "pass", "message": RFC_6376.replace("\n", "\r\n")},
    {"name": "RFC 6376 A.2 changed", "about": "one letter", "expected": "bad", "message": RFC_6376.replace("\n", "\r\n").replace("Joe.", "joe.")},
    {"name": "RFC 8463 A.3", "about": "both algorithms", "expected": "pass", "message": RFC_8463.replace("\n", "\r\n")},
    {"name": "RFC 8463 A.3 changed", "about": "one letter", "expected": "bad", "message": RFC_8463.replace("\n", "\r\n").replace("Is d", "is d")},
]


def second_opinion(kind, keys, cases):
    import dkim as dkimpy

    def dnsfunc(name, timeout=5):
        record = keys.get(name.decode().rstrip(".").lower())
        return record.encode() if record else None
    for case in cases:
        text = case["message"].encode()
        try:
            if kind == "dkim":
                said = "pass" if dkimpy.verify(text, dnsfunc=dnsfunc) else "bad"
            else:
                said = {b"pass": "pass", b"none": "none", b"fail": "fail", None: "none"}[dkimpy.arc_verify(text, dnsfunc=dnsfunc)[0]]
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        if said != case["expected"] and case["expected"] != "any":
            print(f"{kind}: {case['name']}: {case['expected']} here, dkimpy says {said}")


make_dkim()
SMALL = Rsa(512)
make_arc()
names = {f"{selector}._domainkey.example.org": record for selector, record in KEYS.items()}
for kind, keys, cases in (("dkim", names, DKIM), ("arc", names, ARC), ("rfc", RFC_KEYS, RFC)):
    assert len({case["name"] for case in cases}) == len(cases), [case["name"] for case in cases]
    with open(f"{kind}.json", "w", encoding="ascii", newline="\n") as file:
        json.dump({"keys": keys, "cases": cases}, file, indent=1)
        file.write("\n")
    print(kind, len(cases), "cases")
    if "--second-opinion" in sys.argv:
        second_opinion("arc" if kind == "arc" else "dkim", keys, cases)
