//! From an event to a line.

use std::fmt::{Debug, Write as _};

use serde_json::{Map, Value};
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::telemetry::Sink;

/// Octets of one value; the rest is cut.
const VALUE_BYTES_MAX: usize = 2048;

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
        let mut record = Record { fields: Map::new() };
        let now = OffsetDateTime::now_utc().format(TIME).unwrap_or_default();
        record.fields.insert("time".to_owned(), Value::String(now));
        event.record(&mut record);
        if let Ok(mut line) = serde_json::to_vec(&record.fields) {
            line.push(b'\n');
            self.sink.line(line);
        }
    }
}

struct Record {
    fields: Map<String, Value>,
}

impl Record {
    fn text(&mut self, field: &Field, mut text: String) {
        if text.len() > VALUE_BYTES_MAX {
            text.truncate(text.floor_char_boundary(VALUE_BYTES_MAX));
            text.push('…');
        }
        self.value(field, Value::String(text));
    }

    fn value(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "message" { "text" } else { field.name() };
        self.fields.insert(name.to_owned(), value);
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.text(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, value.into());
    }
}
