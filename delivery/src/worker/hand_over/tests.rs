//! The members of mailing lists.

use envelope::{Notify, ReversePath};
use queue::{Listed, Queue as _};

use super::super::fakes::envelope;
use super::super::tests::{BODY, Setup, config, recipients};
use super::Lane;

const LIST: &[(&str, &str)] =
    &[("list", "@owner ann gone x@a.test y@b.test"), ("owner+gone=example.test", "=owner"), ("ann", "=ann")];

fn to_lane(listed: &[Listed], lane: Lane) -> Vec<(String, Vec<String>)> {
    let fits = listed.iter().filter(|listed| listed.lane == lane);
    fits.map(|listed| (listed.envelope.reverse_path.to_string(), recipients(listed))).collect()
}

#[tokio::test]
async fn members_get_it_from_the_owner_who_hears_of_each_that_does_not() {
    let setup = Setup::new(LIST, config());
    let mut asked = envelope(1, "s@elsewhere.test", &["list"]);
    asked.envelope_id = Some("theirs".to_owned());
    asked.recipients[0].notify = Some(Notify { success: true, failure: true, delay: true });
    let body = queue::Body::Memory(bytes::Bytes::from_static(BODY));
    setup.queue.publish(Lane::Local, asked, body).await.unwrap();
    let listed = setup.settled().await;
    let mut remote = to_lane(&listed, Lane::Remote);
    remote.sort();
    assert_eq!(
        remote,
        [
            // The list has it, and that is what the sender hears of.
            (String::new(), vec!["s@elsewhere.test".to_owned()]),
            ("owner@example.test".to_owned(), vec!["x@a.test".to_owned(), "y@b.test".to_owned()]),
        ]
    );
    let members = listed.iter().find(|listed| listed.envelope.reverse_path != ReversePath::Null).unwrap();
    assert_eq!(
        (members.envelope.list.as_ref().unwrap().separator, members.envelope.envelope_id.as_deref()),
        (Some('+'), None)
    );
    assert!(members.envelope.recipients.iter().all(|member| member.notify.is_none()));
    // Ann has it, and the owner a report under a name that tells of whom.
    assert_eq!(
        (setup.outcomes("delivered"), setup.outcomes("bounced"), setup.outcomes("discarded")),
        (2, 1, 0)
    );
}

#[tokio::test]
async fn after_a_crash_members_get_it_once() {
    let setup = Setup::new(LIST, config());
    setup.publish(1, "s@elsewhere.test", &["list"]).await;
    setup.try_and_crash().await;
    let listed = setup.settled().await;
    assert_eq!(to_lane(&listed, Lane::Remote).len(), 1);
    assert_eq!((setup.outcomes("handed-over"), setup.outcomes("delivered")), (4, 2));
}

#[tokio::test]
async fn what_comes_by_a_list_again_ends_there() {
    let setup = Setup::new(&[("list", "@owner other"), ("other", "@boss list"), ("boss", "=boss")], config());
    setup.publish(1, "s@elsewhere.test", &["list"]).await;
    let listed = setup.settled().await;
    assert!(listed.is_empty(), "{listed:?}");
    // The owner of the list that led back hears of it.
    assert_eq!(
        (setup.outcomes("handed-over"), setup.outcomes("bounced"), setup.outcomes("delivered")),
        (2, 1, 1)
    );
}
