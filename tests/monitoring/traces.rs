//! Traces, as a collector receives them: a read's stages, and nothing of anybody.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::receiver::receive;
use crate::setting;
use crate::stage::{ALICE, PASSWORD, Stage};

/// The head and the body of a request.
type Posted = (String, Vec<u8>);

/// Takes what is posted, and answers unless it `hangs`.
struct Collector {
    address: String,
    taken: Arc<Mutex<Vec<Posted>>>,
}

impl Collector {
    fn start(hangs: bool) -> Self {
        let taken: Arc<Mutex<Vec<_>>> = Arc::default();
        let all = Arc::clone(&taken);
        let address = receive(move |head, body| {
            all.lock().unwrap().push((head, body));
            !hangs
        });
        Self { address, taken }
    }

    /// The spans that came, each with the trace they are of.
    fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap();
        let decoded = taken.iter().flat_map(|(head, body)| {
            assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
            let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            request.resource_spans
        });
        let scopes = decoded.flat_map(|it| it.scope_spans);
        scopes.flat_map(|it| it.spans).collect()
    }
}

async fn traced(collector: &Collector) -> Stage {
    let mut stage = Stage::build(setting("vaultgram=warn,vaultgram::telegram=info")).await;
    let file = stage.path("vaultgram.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let section = format!("[tracing]\notlp_endpoint = \"{}\"\n", collector.address);
    std::fs::write(&file, config + &section).unwrap();
    stage.start().await;
    stage
}

fn text(span: &Span, name: &str) -> String {
    let mut found = span.attributes.iter().filter(|it| it.key == name);
    let value = found.next().and_then(|it| it.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        other => panic!("{name}: {other:?} in {span:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_told_stage_by_stage_and_nothing_of_it() {
    let collector = Collector::start(false);
    let mut stage = traced(&collector).await;
    let secret = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(secret.contains(PASSWORD), "{secret}");
    let read = stage
        .vaultgram(&["get", "django/database#password"])
        .output();
    assert_eq!(read.unwrap().stdout, PASSWORD.as_bytes());
    // What waits is sent at the end.
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    assert_eq!(broker.exit().await.code(), Some(0), "{}", stage.log());

    let spans = collector.spans();
    let stages = |front_end: &str| {
        let mut roots = spans.iter().filter(|span| {
            span.name == "request"
                && span.parent_span_id.is_empty()
                && text(span, "front_end") == front_end
                && span.attributes.iter().any(|it| it.key == "outcome")
        });
        let root = roots
            .next()
            .unwrap_or_else(|| panic!("{front_end}: {spans:#?}"));
        assert_eq!(text(root, "decision"), "allow");
        assert_eq!(text(root, "outcome"), "released");
        let below = spans
            .iter()
            .filter(|span| span.parent_span_id == root.span_id);
        let mut names: Vec<_> = below
            .map(|span| {
                assert_eq!(span.trace_id, root.trace_id);
                assert!(span.start_time_unix_nano >= root.start_time_unix_nano);
                assert!(span.end_time_unix_nano <= root.end_time_unix_nano);
                span.name.clone()
            })
            .collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(stages("socket"), ["audit", "policy", "vault"]);
    assert_eq!(
        stages("telegram"),
        ["audit", "claim", "message", "policy", "vault"]
    );

    let known = ["front_end", "decision", "outcome"];
    for span in &spans {
        assert!(span.events.is_empty() && span.links.is_empty(), "{span:?}");
        for attribute in &span.attributes {
            assert!(known.contains(&attribute.key.as_str()), "{span:?}");
        }
    }
    let taken = collector.taken.lock().unwrap();
    for (_, body) in &*taken {
        let raw = String::from_utf8_lossy(body);
        for of_somebody in [PASSWORD, "django", "database", "1001", "telegram:", "uid"] {
            assert!(!raw.contains(of_somebody), "{of_somebody} in {raw}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_up_nobody() {
    let collector = Collector::start(true);
    let mut stage = traced(&collector).await;
    let asked = || !collector.taken.lock().unwrap().is_empty();
    stage.ask(ALICE, "/help").await;
    stage.wait("the collector has a batch", asked).await;
    let start = std::time::Instant::now();
    for _ in 0..20 {
        let read = stage
            .vaultgram(&["get", "django/database#password"])
            .output();
        assert_eq!(read.unwrap().stdout, PASSWORD.as_bytes());
    }
    let took = start.elapsed();
    let logged = || stage.log().contains("traces.not_sent");
    stage.wait("it is told", logged).await;
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    assert_eq!(broker.exit().await.code(), Some(0), "{}", stage.log());
    // Far less than waiting for it once for each would take.
    assert!(took < std::time::Duration::from_mins(1), "{took:?}");
}
