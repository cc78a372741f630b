//! From an event to a line.

use std::fmt::{Debug, Write as _};

use serde::Serialize;
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::telemetry::Sink;

/// Octets of one value; the rest is cut.
const VALUE_BYTES_MAX: usize = 2048;

/// Octets that most lines take at most.
const LINE_USUAL: usize = 512;

const TIME: &[time::format_description::BorrowedFormatItem<'_>] =
    time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Writes every event that its filter lets through into the trail.
pub(crate) struct TrailLayer {
    sink: Sink,
}

impl TrailLayer {
    pub(crate) const fn new(sink: Sink) -> Self {
        Self { sink }
    }
}

impl<S: Subscriber> Layer<S> for TrailLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Vec::with_capacity(LINE_USUAL);
        line.extend_from_slice(b"{\"time\":\"");
        // Into memory, and the clock is within what the format holds: it does not fail.
        let _ = OffsetDateTime::now_utc().format_into(&mut line, TIME);
        line.push(b'"');
        let mut record = Record { line, text: String::new() };
        event.record(&mut record);
        record.line.extend_from_slice(b"}\n");
        self.sink.line(record.line);
    }
}

/// A line in the making; fields are written where they will stand.
struct Record {
    line: Vec<u8>,
    /// For values that have to be formatted first.
    text: String,
}

impl Record {
    fn value(&mut self, field: &Field, value: impl Serialize) {
        let name = if field.name() == "message" { "text" } else { field.name() };
        let start = self.line.len();
        self.line.push(b',');
        let written = serde_json::to_writer(&mut self.line, name).and_then(|()| {
            self.line.push(b':');
            serde_json::to_writer(&mut self.line, &value)
        });
        if written.is_err() {
            self.line.truncate(start);
        }
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
        self.text = text;
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if value.len() <= VALUE_BYTES_MAX {
            return self.value(field, value);
        }
        let cut = value.get(..value.floor_char_boundary(VALUE_BYTES_MAX)).unwrap_or_default();
        self.value(field, format!("{cut}…"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, value);
    }
}
