//! The webmail in a real browser.

use std::path::Path;
use std::process::Command;

use crate::node::{Node, PASSWORD, must};

#[test]
fn a_person_signs_in_reads_answers_and_signs_out() {
    let node = Node::start();
    node.swaks(
        "bob@example.test",
        "alice@example.test",
        &["--header", "Subject: Lunch on Thursday?", "--body", "Shall we meet at noon?"],
    );
    node.inbox("alice@example.test", 1);
    let screenshots = std::env::var_os("SLUICE_SCREENSHOTS")
        .map_or_else(|| node.folder.path().join("screenshots"), Into::into);
    std::fs::create_dir_all(&screenshots).unwrap();
    let modules = std::env::var("SLUICE_BROWSER_MODULES")
        .expect("./test sets SLUICE_BROWSER_MODULES; run this through ./test");
    let output = must(
        Command::new("node")
            .arg(Path::new(&modules).with_file_name("webmail.mjs"))
            .env("PLAYWRIGHT_MODULES", modules)
            .env("BASE_URL", format!("http://{}", node.address("web")))
            .env("USER", "alice@example.test")
            .env("PASSWORD", PASSWORD)
            .env("SCREENSHOT_DIR", &screenshots),
        "",
    );
    let pictures = std::fs::read_dir(&screenshots).unwrap().count();
    assert!(pictures >= 3, "{pictures} screenshots: {output}");
    // The answer has gone through the gateway, the queue and the worker to the other mailbox.
    let answers = node.inbox("bob@example.test", 1);
    assert!(answers[0].contains("Subject: Re: Lunch on Thursday?"), "{}", answers[0]);
    assert!(answers[0].contains("In-Reply-To:"), "{}", answers[0]);
}
