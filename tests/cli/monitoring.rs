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
    ]);
    let policy = "permit(principal, action, resource);";
    let ran = check(
        &endpoint("https://otel.example.org:4318"),
        policy,
        VARIABLES,
    );
    let line = "traces    to https://otel.example.org:4318/\n";
    assert!(ran.out.contains(line), "{ran:?}");
}
