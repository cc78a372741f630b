//! The way to the broker encrypted, and the broker checked.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use envelope::Secret;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::broker::{Cluster, Host, broker_folder, free_ports};
use super::{Credentials, RabbitQueue};
use crate::suite::{self, id, soon};
use crate::{Config, Lane, Queue, RabbitConfig};

/// An authority, as PEM, and files with a certificate of it for `name`.
fn certify(folder: &Path, name: &str) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    for (file, text) in [("ca.pem", &authority), ("cert.pem", &leaf.pem()), ("key.pem", &key.serialize_pem())]
    {
        let path = folder.join(file);
        std::fs::write(&path, text).unwrap();
        // The broker is another user.
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    }
    authority
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_is_believed_by_its_certificate_alone() {
    let folder = broker_folder();
    let certificates = tempfile::tempdir_in(folder.path()).unwrap();
    std::fs::set_permissions(certificates.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let authority = certify(certificates.path(), "127.0.0.1");
    let port = free_ports(1)[0];
    let path = |file: &str| certificates.path().join(file).display().to_string();
    let settings = format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\nssl_options.verify = verify_none\n",
        path("ca.pem"),
        path("cert.pem"),
        path("key.pem"),
    );
    let home = folder.path().join("node");
    let cluster = Cluster::start_on(vec![Host::local(home, &settings)], folder);
    let spool = tempfile::tempdir().unwrap();
    let rabbitmq = RabbitConfig {
        addresses: vec![format!("127.0.0.1:{port}")],
        spool_dir: spool.path().to_owned(),
        away_max: units::Span::millis(200),
        confirm_max: units::Span::secs(5),
        ..RabbitConfig::default()
    };
    let config = Config { rabbitmq, ..Config::default() };
    let credentials =
        |roots: Option<String>| Credentials { password: Secret::new("guest".to_owned()), roots };
    let registry = prometheus::Registry::new();
    let queue = RabbitQueue::open(&config, &credentials(Some(authority)), &registry).await.unwrap();
    suite::publish(&queue, 1, 500).await.unwrap();
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    assert_eq!(lease.envelope.id, id(1));
    lease.ack().await.unwrap();
    soon(queue.close()).await;
    // One with a certificate of somebody else, one under another name, and one that does not encrypt.
    let other = tempfile::tempdir().unwrap();
    let mut elsewhere = config.clone();
    elsewhere.rabbitmq.addresses = vec![format!("localhost:{port}")];
    let mut plain = config.clone();
    plain.rabbitmq.addresses = cluster.addresses();
    let known = std::fs::read_to_string(path("ca.pem")).unwrap();
    for (config, roots, said) in [
        (&config, certify(other.path(), "127.0.0.1"), "certificate"),
        (&elsewhere, known.clone(), "certificate"),
        (&plain, known, "corrupt message"),
    ] {
        let queue =
            RabbitQueue::open(config, &credentials(Some(roots)), &prometheus::Registry::new()).await.unwrap();
        let error = soon(suite::publish(&queue, 2, 500)).await.unwrap_err();
        let why = format!("{error} {:?}", std::error::Error::source(&error));
        assert!(why.contains(said) && !why.contains("guest"), "{why}");
        soon(queue.close()).await;
    }
}
