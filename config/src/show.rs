//! The configuration as it is in effect.

use serde::Serialize;

/// Ends of key names whose values are not shown.
const SECRET_NAMES: [&str; 4] = ["passphrase", "password", "secret", "token"];

/// TOML with every key; passwords, also those inside URLs, are `***`.
pub fn show<T: Serialize>(config: &T) -> Result<String, toml::ser::Error> {
    let mut tree = toml::Value::try_from(config)?;
    mask(&mut tree, false);
    toml::to_string_pretty(&tree)
}

fn mask(value: &mut toml::Value, secret: bool) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table.iter_mut() {
                mask(value, secret || SECRET_NAMES.iter().any(|end| name.ends_with(end)));
            }
        }
        toml::Value::Array(items) => items.iter_mut().for_each(|item| mask(item, secret)),
        toml::Value::String(text) if secret && !text.is_empty() => "***".clone_into(text),
        toml::Value::String(text) => mask_url(text),
        _ => {}
    }
}

/// `amqp://user:***@host/`
fn mask_url(text: &mut String) {
    let masked = text.split_once("://").and_then(|(scheme, rest)| {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = authority.rsplit_once('@')?;
        let (name, _) = user.split_once(':')?;
        Some(format!("{scheme}://{name}:***@{host}{path}"))
    });
    if let Some(masked) = masked {
        *text = masked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_secrets_and_shows_the_rest() {
        let config = serde_json::json!({
            "name": "mail",
            "admin_password": "hunter2",
            "token": "",
            "password_file": "/etc/sluice/password",
            "broker": "amqp://guest:hun@ter2@broker.example.test:5672/%2f",
            "web": { "secret": ["hunter2", "hunter3"], "url": "http://example.test/a@b:c" },
        });
        let text = show(&config).unwrap();
        assert!(!text.contains("hunter") && !text.contains("ter2"), "{text}");
        for line in [
            r#"admin_password = "***""#,
            r#"token = """#,
            r#"password_file = "/etc/sluice/password""#,
            r#"broker = "amqp://guest:***@broker.example.test:5672/%2f""#,
            r#"url = "http://example.test/a@b:c""#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
