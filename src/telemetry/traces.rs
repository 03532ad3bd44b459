//! Traces: requests and their stages as spans, sent by OTLP where that is configured.
//!
//! A span has its name, its times and what metrics have as labels. Nothing else is ever in one: no path,
//! no person, no value, and no event of the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use metrics::counter;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::telemetry::metrics::TRACE_EXPORTS;

/// What spans are of, and no event: nothing else is traced, and the log has none of it.
pub(super) const TARGET: &str = "vaultgram.trace";
/// How long a batch may take to be sent.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most of an answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// How often the log says that nothing can be sent.
const SAY_AGAIN: Duration = Duration::from_mins(1);

/// Where traces go.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where OTLP is taken over HTTP: `http://127.0.0.1:4318`.
    pub endpoint: String,
    /// Which share of requests is traced, from 0 to 1.
    pub share: f64,
}

/// What sends traces, until it is ended.
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Begins to send in tasks on this runtime. Spans wait in a queue of 2048; more are dropped, and
    /// no request waits.
    ///
    /// # Errors
    /// Says what cannot be used.
    pub(super) fn start(settings: &Settings) -> Result<Self, String> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new(&settings.endpoint)?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!(
                "{}/v1/traces",
                settings.endpoint.trim_end_matches('/')
            ))
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| error.to_string())?;
        let resource = Resource::builder_empty().with_service_name("vaultgram");
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                settings.share,
            ))))
            .with_resource(resource.with_attribute(version).build())
            .build();
        Ok(Self(provider))
    }

    /// What hands it the spans.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("vaultgram"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_level(false)
            .with_target(false)
            .with_filter(filter_fn(|it| it.is_span() && it.target() == TARGET))
    }

    /// Sends what waits, for a few seconds at most.
    pub async fn end(self) {
        // It blocks.
        let ending = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(PATIENCE));
        if let Ok(Err(error)) = ending.await {
            tracing::debug!(event = "traces.not_ended", %error);
        }
    }
}

/// Sends batches in tasks of the runtime, for the thread that makes them has none.
#[derive(Debug)]
struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
    tasks: TaskTracker,
    /// When the log last said that nothing can be sent.
    said: Mutex<Option<Instant>>,
}

impl Sender {
    fn new(endpoint: &str) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() && endpoint.starts_with("https:") {
            return Err(
                "[tracing] otlp_endpoint: this system has no certificate authorities to \
                        trust it by; install ca-certificates"
                    .to_owned(),
            );
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trust = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trust)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            runtime: Handle::try_current().map_err(|error| error.to_string())?,
            tasks: TaskTracker::new(),
            said: Mutex::default(),
        })
    }

    fn note(&self, sent: &Result<Response<Bytes>, HttpError>) {
        let problem = match sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        let result = if problem.is_some() { "failed" } else { "ok" };
        counter!(TRACE_EXPORTS, "result" => result).increment(1);
        let Some(problem) = problem else { return };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
            *said = Some(Instant::now());
            tracing::warn!(
                event = "traces.not_sent",
                problem,
                hint = "[tracing] otlp_endpoint; said once a minute"
            );
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (tell, told) = oneshot::channel();
        let client = self.client.clone();
        let sending = async move {
            let answer = client.request(request.map(Full::new)).await?;
            let (head, body) = answer.into_parts();
            #[expect(clippy::disallowed_methods, reason = "it is limited")]
            let body = Limited::new(body, MAX_ANSWER).collect().await?;
            Ok::<_, HttpError>(Response::from_parts(head, body.to_bytes()))
        };
        let sending = async move {
            let sent = timeout(PATIENCE, sending).await;
            // Who no longer waits does not care.
            drop(tell.send(sent.unwrap_or_else(|late| Err(late.into()))));
        };
        self.tasks.spawn_on(sending, &self.runtime);
        let sent = told.await.unwrap_or_else(|gone| Err(gone.into()));
        self.note(&sent);
        sent
    }
}
