use std::collections::HashMap;

use super::{FRAME_POLICY, Images, clean, document};

fn cleaned(html: &str) -> String {
    with_pictures(html, usize::MAX)
}

fn with_pictures(html: &str, written_max: usize) -> String {
    let by_id = HashMap::from([("pic@x".to_owned(), "data:image/png;base64,AAAA".to_owned())]);
    clean(html, Images { by_id, written_max })
}

#[test]
fn one_picture_named_often_is_not_written_without_bound() {
    let html = "<img src=cid:pic@x>".repeat(1000);
    let picture = "data:image/png;base64,AAAA";
    let written = with_pictures(&html, picture.len() * 3 + 1);
    assert_eq!(written.matches(picture).count(), 3);
    assert_eq!(written.matches("<img").count(), 1000);
}

/// Reads the cleaned HTML again as a browser would, and looks for anything that runs or reaches out.
fn assert_harmless(input: &str) {
    let output = cleaned(input);
    let lower = output.to_lowercase();
    // Read once more, as the browser does, it has the same elements: no markup hides in what was taken for text.
    // Only their nesting may differ.
    let elements = |html: &str| {
        let mut names: Vec<String> = html
            .split('<')
            .skip(1)
            .map(|tag| tag.split([' ', '>']).next().unwrap_or_default().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(elements(&cleaned(&output)), elements(&output), "from {input}");
    for tag in [
        "script",
        "style",
        "iframe",
        "frame",
        "object",
        "embed",
        "link",
        "meta",
        "base",
        "form",
        "input",
        "button",
        "svg",
        "math",
        "video",
        "audio",
        "source",
        "template",
        "textarea",
        "select",
        "noscript",
        "title",
        "body",
        "html",
        "applet",
        "marquee",
        "isindex",
        "foreignobject",
        "animate",
        "set",
        "portal",
        "dialog",
    ] {
        for end in [" ", ">", "/", "\n"] {
            assert!(!lower.contains(&format!("<{tag}{end}")), "<{tag} in {output} from {input}");
        }
    }
    assert_harmless_attributes(&output, input);
}

fn assert_harmless_attributes(output: &str, input: &str) {
    for tag in output.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag) {
        let mut words = tag.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        for word in words {
            let Some((attribute, _)) = word.split_once("=\"") else { continue };
            assert!(!attribute.to_lowercase().starts_with("on"), "{tag} from {input}");
            let known = [
                "href", "src", "alt", "style", "align", "width", "height", "border", "color", "title", "dir",
                "lang", "rel", "target", "bgcolor", "size", "face", "name", "colspan", "valign",
            ];
            assert!(known.contains(&attribute), "{attribute} in {tag} from {input}");
        }
        if name == "img" && tag.contains("src=") {
            assert!(tag.contains("src=\"data:image/"), "{tag} from {input}");
        }
        if let Some((_, target)) = tag.split_once("href=\"") {
            let fine = ["http://", "https://", "mailto:"]
                .iter()
                .any(|scheme| target.to_lowercase().starts_with(scheme));
            assert!(fine, "{tag} from {input}");
        }
        if let Some((_, style)) = tag.split_once("style=\"") {
            assert!(
                !style.contains("url") && !style.contains("expression") && !style.contains("position"),
                "{tag}"
            );
        }
    }
}

#[test]
fn nothing_runs_and_nothing_reaches_out() {
    for input in [
        "<script>alert(1)</script>",
        "<ScRiPt src=//x.test/a.js></sCrIpT>",
        "<scr<script>ipt>alert(1)</scr</script>ipt>",
        "<img src=x onerror=alert(1)>",
        "<img/src=x/onerror=alert(1)>",
        "<img src=\"x\" onerror = 'alert(1)' OnLoad=alert(2)>",
        "<body onload=alert(1) background=http://x.test/a.png>",
        "<a href=javascript:alert(1)>x</a>",
        "<a href=\"jav&#x09;ascript:alert(1)\">x</a>",
        "<a href=\" &#14; javascript:alert(1)\">x</a>",
        "<a href=\"java\nscript:alert(1)\">x</a>",
        "<a href=vbscript:x>x</a><a href=data:text/html,<script>alert(1)</script>>y</a>",
        "<a href=\"//x.test\">relative</a><a href=\"/sign-out\">ours</a><a href=\"cid:pic@x\">c</a>",
        "<a href=\"file:///etc/passwd\">x</a><a href=\"blob:http://x\">x</a><a href=\"tel:1\">x</a>",
        "<svg onload=alert(1)><script>alert(2)</script></svg>",
        "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
        "<svg><a xlink:href=\"javascript:alert(1)\"><text>x</text></a></svg>",
        "<svg><use href=\"data:image/svg+xml,<svg id=x onload=alert(1)>#x\"></svg>",
        "<svg><image href=http://x.test/a.png><feImage href=http://x.test/b.png>",
        "<svg><style><img src=x onerror=alert(1)></style></svg>",
        "<svg><set attributeName=href to=javascript:alert(1)>",
        "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
        "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
        "<math><annotation-xml encoding=\"text/html\"><style><img src=x onerror=alert(1)></style></annotation-xml></math>",
        "<math href=\"javascript:alert(1)\">x</math>",
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "<xmp><p title=\"</xmp><img src=x onerror=alert(1)>\">",
        "<noembed><img title=\"</noembed><img src onerror=alert(1)>\"></noembed>",
        "<iframe src=http://x.test></iframe><iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
        "<object data=x.swf></object><embed src=x.swf><applet code=x></applet>",
        "<meta http-equiv=refresh content=\"0;url=http://x.test\">",
        "<base href=http://x.test/><a href=y>z</a>",
        "<link rel=stylesheet href=http://x.test/a.css><link rel=dns-prefetch href=//x.test>",
        "<style>@import url(http://x.test/a.css); body{background:url(http://x.test)}</style>",
        "<style><!--</style><script>alert(1)//--></script>",
        "<form action=http://x.test><input name=password><button formaction=javascript:alert(1)>go</button></form>",
        "<input autofocus onfocus=alert(1)><select onchange=alert(1)><option>x</select>",
        "<textarea><img title=\"</textarea><img src=x onerror=alert(1)>\"></textarea>",
        "<img src=http://x.test/pixel.gif><img src=//x.test/p.gif><img srcset=\"http://x.test/a 1x\">",
        "<picture><source srcset=http://x.test/a.png><img src=https://x.test/b></picture>",
        "<video poster=http://x.test/a.png src=http://x.test/v.mp4><audio src=http://x.test/a.mp3 autoplay></video>",
        "<table background=http://x.test/a.png><td background=http://x.test/b.png>x</table>",
        "<div style=\"background:url(http://x.test/a.png)\">x</div>",
        "<div style=\"background:\\75rl(http://x.test)\">x</div>",
        "<div style=\"width:expression(alert(1));-moz-binding:url(x);behavior:url(y)\">x</div>",
        "<div style=\"position:fixed;top:0;left:0;width:100%;height:100%;z-index:999\">x</div>",
        "<div style='color:red\" onmouseover=\"alert(1)'>x</div>",
        "<img src=\"data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+\">",
        "<img src=\"data:text/html;base64,PHNjcmlwdD4=\"><img src='data:image/png;base64,AA\" onerror=\"alert(1)'>",
        "<img src=cid:other@message><img src=\"cid:pic@x\" onload=alert(1)>",
        "<blockquote cite=http://x.test/a>x</blockquote><q cite=javascript:alert(1)>y</q>",
        "<marquee onstart=alert(1)>x</marquee><details open ontoggle=alert(1)>x</details>",
        "<p id=x class=y data-x=z contenteditable tabindex=1 accesskey=x>named</p>",
        "<template><img src=x onerror=alert(1)></template><portal src=//x.test>",
        "<!--[if IE]><script>alert(1)</script><![endif]--><!-- --!><img src=x onerror=alert(1)>-->",
        "<?xml version=\"1.0\"?><!DOCTYPE html [<!ENTITY x \"<script>alert(1)</script>\">]>&x;",
        "<a href=\"https://x.test\" target=_top rel=opener onclick=alert(1) ping=http://y.test download>x</a>",
        "<html manifest=x><head><title><img src=x onerror=alert(1)></title></head>",
        "<div><p></div><a><table><tr><a href=javascript:alert(1)>x",
        "<b><i><u><img src=x \u{0}onerror=alert(1)>",
        "<map name=m><area href=javascript:alert(1) shape=default></map><img usemap=#m ismap src=x>",
    ] {
        assert_harmless(input);
    }
}

#[test]
fn looks_and_links_stay() {
    let check = |input: &str, expected: &str| assert_eq!(cleaned(input), expected, "{input}");
    check("<p>Hello <b>world</b></p>", "<p>Hello <b>world</b></p>");
    check(
        "<a href=\"https://x.test/?a=1&amp;b=2\">x</a>",
        "<a href=\"https://x.test/?a=1&amp;b=2\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">x</a>",
    );
    check("<td>cell</td>", "cell");
    check(
        "<font color=red style=\"color:blue\">x</font>",
        "<font color=\"red\" style=\"color: blue\">x</font>",
    );
    check("<img src=\"CID:pic@x\" alt=a>", "<img src=\"data:image/png;base64,AAAA\" alt=\"a\">");
    check("<img src=cid:pic%40x>", "<img src=\"data:image/png;base64,AAAA\">");
    check("1 < 2 & 3", "1 &lt; 2 &amp; 3");
}

#[test]
fn deep_and_wide_input_ends() {
    assert!(cleaned(&"<div>".repeat(20_000)).len() < 1_000_000);
    assert!(cleaned(&"<b><p>".repeat(2000)).len() < 10_000_000);
    assert!(cleaned(&"<a href=x ".repeat(20_000)).len() < 1_000_000);
}

#[test]
fn the_document_declares_itself() {
    let document = document("<p>x</p>");
    assert!(
        document.starts_with("<!doctype html>")
            && document.contains("no-referrer")
            && document.ends_with("<p>x</p></body></html>")
    );
    assert!(FRAME_POLICY.contains("default-src 'none'") && !FRAME_POLICY.contains("allow-scripts"));
    assert!(!FRAME_POLICY.contains("allow-same-origin") && !FRAME_POLICY.contains("http"));
}
