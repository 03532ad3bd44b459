//! Tests of reading a workflow.

use std::fmt::Write;

use super::*;

const WORKFLOW: &str = r#"
name: Deploy
on:
  push: { branches: [main] }
  workflow_dispatch:
    inputs:
      version: &text
        description: "What to\u202e deploy"
        required: true
      environment:
        type: environment
        default: staging
      dry-run:
        type: boolean
        default: True
      share:
        type: number
        default: 0.5
      colour:
        type: choice
        options: [blue, "green", 3]
        default: blue
      same: *text
      bare:
jobs:
  a: { runs-on: ubuntu-latest, steps: [{ run: "echo ${{ inputs.version }}" }] }
"#;

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn each_kind_of_input_is_read() {
    let declared = read(WORKFLOW).unwrap();
    let names: Vec<_> = declared
        .inputs
        .iter()
        .map(|input| input.name.as_str())
        .collect();
    let wanted = [
        "version",
        "environment",
        "dry-run",
        "share",
        "colour",
        "same",
        "bare",
    ];
    assert_eq!(names, wanted);
    let [version, environment, dry, share, colour, same, bare] = &declared.inputs[..] else {
        panic!("seven")
    };
    assert_eq!(version.description.as_deref(), Some("What to  deploy"));
    assert!(version.required && version.default.is_none());
    assert_eq!(version.kind, InputKind::Text);
    assert_eq!(environment.kind, InputKind::Environment);
    assert_eq!(environment.default.as_deref(), Some("staging"));
    assert_eq!(
        (&dry.kind, dry.default.as_deref()),
        (&InputKind::Boolean, Some("true"))
    );
    assert_eq!(
        (&share.kind, share.default.as_deref()),
        (&InputKind::Number, Some("0.5"))
    );
    let options = ["blue", "green", "3"].map(str::to_owned).to_vec();
    assert_eq!(colour.kind, InputKind::Choice(options));
    assert_eq!(
        (same.required, &same.description),
        (true, &version.description)
    );
    assert_eq!((&bare.kind, bare.required), (&InputKind::Text, false));
}

#[test]
fn every_way_to_write_the_trigger_is_known() {
    for text in [
        "on: workflow_dispatch",
        "on: [push, workflow_dispatch]",
        "'on':\n  workflow_dispatch:",
        "on: { workflow_dispatch: { inputs: } }",
        "on:\n  workflow_dispatch:\n    inputs: {}",
    ] {
        assert_eq!(read(text), Ok(Declared::default()), "{text}");
    }
    for text in [
        "on: push",
        "on: [push]",
        "on: { push: }",
        "jobs: {}",
        "[]",
        "x",
    ] {
        assert!(
            refused(text).contains("needs workflow_dispatch under on"),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_workflow_is_said_to_be_none() {
    let with = |input: &str| refused(&format!("on: {{workflow_dispatch: {{inputs: {input}}}}}"));
    assert!(refused("").contains("empty"));
    assert!(refused("on: [").contains("not YAML"));
    assert!(refused("a: 1\na: 2").contains("twice in line 2"));
    assert!(refused("? [a]\n: b").contains("a key is no text"));
    assert!(with("[a]").contains("no mapping"));
    assert!(with("{a: {type: secret}}").contains("a type that GitHub has not"));
    assert!(with("{a: {type: choice}}").contains("choice without options"));
    assert!(with("{a: {type: choice, options: [[x]]}}").contains("no short texts"));
    assert!(with("{'a b': }").contains("name of an input"));
    let many = (0..26).fold(String::new(), |mut text, number| {
        write!(text, "a{number}: , ").unwrap();
        text
    });
    assert!(with(&format!("{{{many}}}")).contains("more than 25"));
}

#[test]
fn a_file_that_grows_when_it_is_read_does_not() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..200 {
        let below = format!("*a{}", level - 1);
        let list = [below.as_str(); 9].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{list}]").unwrap();
    }
    bomb.push_str("on: workflow_dispatch\n");
    assert_eq!(read(&bomb), Ok(Declared::default()));
    let itself = "on: &a { workflow_dispatch: { inputs: *a } }";
    assert!(!refused(itself).is_empty());
    for deep in [
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "{a: ".repeat(100_000),
    ] {
        assert!(!refused(&deep).is_empty());
    }
    assert!(refused(&"- x\n".repeat(60_000)).contains("too many parts"));
}
