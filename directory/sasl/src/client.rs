//! The client's side, for load tests and for relaying through a smart host.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use envelope::Secret;

/// PLAIN's one response in base64, also for use as initial response.
pub fn plain(login: &str, password: &Secret<String>) -> Secret<String> {
    Secret::new(STANDARD.encode(format!("\0{login}\0{}", password.expose())))
}
