//! `[metrics]` and `[tracing]` in the configuration.

use crate::config::{VARIABLES, check, told};

#[test]
fn metrics_over_the_network_are_for_whom_the_operator_says() {
    told(&[
        ("[socket]\n[metrics]\nport = 1\n", "unknown field `port`"),
        (
            "[socket]\n[metrics]\nlisten = \"localhost\"\n",
            "[metrics] listen: an address and a port, such as \"127.0.0.1:9464\"",
        ),
        (
            "[socket]\n[metrics]\nlisten = \"0.0.0.0:9464\"\n",
            "[metrics] listen: other machines would be told in plain HTTP; add cert_file",
        ),
        (
            "[socket]\n[metrics]\ncert_file = \"a.pem\"\n",
            "[metrics]: cert_file and key_file go together",
        ),
        (
            "[socket]\n[metrics]\nclient_ca_file = \"a.pem\"\n",
            "[metrics]: cert_file and key_file go together",
        ),
        ("[metrics]\n", "nothing to serve: add a [telegram]"),
    ]);
    let policy = "permit(principal, action, resource);";
    let tls = "cert_file = \"a.pem\"\nkey_file = \"b.pem\"\n";
    for (section, shown) in [
        ("", "127.0.0.1:9464 to whoever connects"),
        (
            "listen = \"[::]:1\"\nplaintext = true\n",
            "[::]:1 to whoever connects",
        ),
        (
            &format!("listen = \"0.0.0.0:1\"\n{tls}"),
            "0.0.0.0:1 by TLS, to whoever connects",
        ),
        (
            &format!("{tls}client_ca_file = \"c.pem\"\n"),
            "127.0.0.1:9464 by TLS, to who shows a certificate",
        ),
    ] {
        let ran = check(
            &format!("[socket]\n[metrics]\n{section}"),
            policy,
            VARIABLES,
        );
        let line = format!("metrics   {shown}\n");
        assert!(ran.out.contains(&line), "{ran:?}");
    }
}

#[test]
fn traces_go_where_they_can() {
    let endpoint = |url: &str| format!("[socket]\n[tracing]\notlp_endpoint = \"{url}\"\n");
    let wrong = "[tracing] otlp_endpoint: where OTLP is taken over HTTP";
    let urls = [
        "127.0.0.1:4318",
        "grpc://a:4317",
        "http://u:p@a",
        "http://a?key=1",
    ];
    for url in urls {
        told(&[(&endpoint(url), wrong)]);
    }
    told(&[
        ("[socket]\n[tracing]\n", wrong),
        (
            &format!("{}share = 1.5\n", endpoint("http://a")),
            "[tracing] share: from 0 to 1",
        ),
        (
            &endpoint("http://otel.example.org:4318"),
            "[tracing] otlp_endpoint: otel.example.org would be told without TLS, so that others",
        ),
        (
            &endpoint("http://10.0.0.1:4318"),
            "10.0.0.1 would be told without TLS",
        ),
    ]);
    let policy = "permit(principal, action, resource);";
    let far = "http://otel.example.org:4318";
    for (section, url) in [
        (
            endpoint("https://otel.example.org:4318"),
            "https://otel.example.org:4318",
        ),
        (endpoint("http://127.0.0.1:4318"), "http://127.0.0.1:4318"),
        (endpoint("http://[::1]:4318"), "http://[::1]:4318"),
        (format!("{}plaintext = true\n", endpoint(far)), far),
    ] {
        let ran = check(&section, policy, VARIABLES);
        let line = format!("traces    to {url}/\n");
        assert!(ran.out.contains(&line), "{ran:?}");
    }
}

#[test]
fn no_secret_for_a_collector_is_in_the_environment() {
    let policy = "permit(principal, action, resource);";
    let section = "[socket]\n[tracing]\notlp_endpoint = \"http://127.0.0.1:4318\"\n";
    for name in [
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    ] {
        let header = (name, "authorization=Bearer%20hunter2");
        let variables = [VARIABLES, &[header]].concat();
        let ran = check(section, policy, &variables);
        assert_eq!(ran.code, 78, "{ran:?}");
        let said = format!("[tracing]: {name} is set, and vaultgram sends no such headers");
        assert!(ran.err.contains(&said), "{ran:?}");
        assert!(!ran.err.contains("hunter2"), "{ran:?}");
        let ran = check("[socket]\n", policy, &variables);
        assert_eq!(ran.code, 0, "nobody is told anything: {ran:?}");
    }
}
