//! Logs, traces and figures.
//!
//! [`init`] installs the process's log subscriber and, if an endpoint is configured, the export of
//! spans over OTLP. Nothing that a user typed or a secret ever becomes a field: spans carry names,
//! codes and times.

use std::{io, time::Duration};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use serde::Deserialize;
use tracing_subscriber::{
    EnvFilter, Layer, layer::SubscriberExt as _, registry::LookupSpan, util::SubscriberInitExt as _,
};

mod histogram;
mod metrics;
pub mod observe;
pub mod trace;

pub use metrics::Metrics;

/// `[telemetry]`: what the process tells about itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Which log lines are written, in the syntax of `RUST_LOG`: `info`, `info,lightning_mesh=debug`.
    pub log: String,
    /// How log lines look: `text` or `json`.
    pub format: Format,
    /// Where spans are sent over OTLP/gRPC, such as `http://127.0.0.1:4317`. Nothing is sent without.
    pub otlp_endpoint: Option<String>,
    /// How long one export may take.
    #[serde(with = "crate::config::duration")]
    pub otlp_timeout: Duration,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            format: Format::Text,
            otlp_endpoint: None,
            otlp_timeout: Duration::from_secs(10),
        }
    }
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The `log` setting does not parse.
    #[error(
        "[telemetry] log = {log:?} is not a log filter like \"info\" or \"info,lightning_mesh=debug\""
    )]
    Filter {
        /// The setting.
        log: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The exporter cannot be made.
    #[error("[telemetry] otlp_endpoint cannot be used")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// A subscriber is installed already.
    #[error("telemetry was started twice in one process")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Keeps the export alive; dropping it sends what is left, for a few seconds at most.
#[must_use = "dropping it ends the export of spans"]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Starts logging to standard error and, if configured, exporting spans. Once per process, inside the
/// runtime.
pub fn init(config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|source| TelemetryError::Filter { log: config.log.clone(), source })?;
    let provider = config.otlp_endpoint.as_deref().map(|url| exporter(url, config)).transpose()?;
    let spans = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("lightning")));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines(config.format))
        .with(spans)
        .try_init()
        .map_err(TelemetryError::Twice)?;
    if provider.is_some() {
        trace::export();
    }
    Ok(Telemetry(provider))
}

/// The layer that writes log lines. Control characters are escaped by the formatters, so that no value
/// can forge a line.
fn lines<S>(format: Format) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let base = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match format {
        Format::Json => Box::new(base.json().flatten_event(true)),
        Format::Text => {
            Box::new(base.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).with_target(false))
        }
    }
}

fn exporter(url: &str, config: &TelemetryConfig) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(url)
        .with_timeout(config.otlp_timeout)
        .build()
        .map_err(TelemetryError::Exporter)?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name("lightning").build())
        .build())
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown_with_timeout(Duration::from_secs(3))
        {
            tracing::warn!(error = %error, "the last spans could not be exported");
        }
    }
}
