//! Reading the multipart form. Its token comes first and is checked before any file is read.

use axum::extract::Multipart;
use axum::extract::multipart::{Field, MultipartError};
use axum::http::StatusCode;

use super::super::super::Shared;
use super::super::super::download::safe_name;
use super::super::super::error::PageError;
use super::super::super::form::Fields;
use super::super::super::guard::check_token;
use super::super::super::outgoing::File;
use super::super::super::session::Session;
use super::super::super::uploads::Upload;
use super::Sent;

/// The longest text field: the body of the message.
const FIELD_MAX: usize = 1 << 20;

pub(super) async fn read(
    web: &Shared,
    session: &Session,
    mut multipart: Multipart,
    mut upload: Upload,
) -> Result<(Sent, Upload), PageError> {
    let mut sent = Sent { fields: Fields::empty(), files: Vec::new() };
    let mut checked = false;
    while let Some(field) = multipart.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        if !checked {
            if name != "csrf" {
                return Err(PageError::Forged);
            }
            check_token(session, Some(&text(field, &mut upload).await?))?;
            checked = true;
        } else if name == "file" {
            if let Some(file) = file(field, &mut upload).await? {
                sent.files.push(file);
            }
            if sent.files.len() > web.config.attachments_max {
                return Err(PageError::TooLarge);
            }
        } else {
            let value = text(field, &mut upload).await?;
            if !sent.fields.push(name, value) {
                return Err(PageError::TooLarge);
            }
        }
    }
    if checked { Ok((sent, upload)) } else { Err(PageError::Forged) }
}

async fn text(field: Field<'_>, upload: &mut Upload) -> Result<String, PageError> {
    let content = content(field, upload, FIELD_MAX).await?;
    String::from_utf8(content).map_err(|_| PageError::Invalid("The form is not in UTF-8."))
}

/// A file; none for an empty file field.
async fn file(field: Field<'_>, upload: &mut Upload) -> Result<Option<File>, PageError> {
    let name = field.file_name().unwrap_or_default().to_owned();
    let media_type = field.content_type().unwrap_or("application/octet-stream").to_owned();
    let content = content(field, upload, usize::MAX).await?;
    if name.is_empty() && content.is_empty() {
        return Ok(None);
    }
    Ok(Some(File { name: safe_name(&name, "file"), media_type, content }))
}

/// The content of a field, its memory counted as it comes: who sends slowly holds no more than what came.
async fn content(mut field: Field<'_>, upload: &mut Upload, size_max: usize) -> Result<Vec<u8>, PageError> {
    let mut content = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        if !upload.grow(chunk.len()).await {
            return Err(PageError::Busy);
        }
        content.extend_from_slice(&chunk);
        if content.len() > size_max {
            return Err(PageError::TooLarge);
        }
    }
    Ok(content)
}

fn broken(error: MultipartError) -> PageError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        PageError::TooLarge
    } else {
        PageError::Invalid("The form did not arrive whole. Nothing was sent.")
    }
}
