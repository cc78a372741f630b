//! Fields of a submitted form, in order, names may repeat.

use axum::Form;
use axum::extract::{FromRequest, Request};

use super::error::PageError;

/// The most fields a form may have.
const FIELDS_MAX: usize = 2000;

/// A form's fields.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first field of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first field of that name, without white space around it, or nothing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default().trim()
    }

    /// Every field of that name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Adds a field, as the reader of a multipart form does. False when there are too many.
    pub(super) fn push(&mut self, name: String, value: String) -> bool {
        self.0.push((name, value));
        self.0.len() <= FIELDS_MAX
    }

    /// No fields yet.
    pub(super) const fn empty() -> Self {
        Self(Vec::new())
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        use axum::extract::rejection::FormRejection;
        let Form(fields) = Form::<Vec<(String, String)>>::from_request(request, state).await.map_err(
            |error| match error {
                FormRejection::BytesRejection(_) => PageError::TooLarge,
                _ => PageError::Invalid("The form could not be read."),
            },
        )?;
        if fields.len() > FIELDS_MAX {
            return Err(PageError::TooLarge);
        }
        Ok(Self(fields))
    }
}
