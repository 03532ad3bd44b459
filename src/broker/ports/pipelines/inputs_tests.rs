//! Tests of the check of inputs.

use super::*;

fn input(name: &str, kind: InputKind, required: bool, default: Option<&str>) -> Input {
    Input {
        name: name.to_owned(),
        description: None,
        kind,
        required,
        default: default.map(str::to_owned),
    }
}

fn declared() -> Declared {
    let options = vec!["blue".to_owned(), "green".to_owned()];
    Declared {
        inputs: vec![
            input("version", InputKind::Text, true, None),
            input("colour", InputKind::Choice(options), false, Some("blue")),
            input("dry", InputKind::Boolean, false, None),
            input("share", InputKind::Number, false, None),
            input("where", InputKind::Environment, false, None),
        ],
    }
}

fn of(given: &[(&str, &str)]) -> Result<Inputs, InputError> {
    let given: Vec<_> = given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    check(&declared(), &given)
}

#[test]
fn what_is_declared_is_taken_with_its_defaults_in_its_order() {
    let inputs = of(&[("share", "-0.5"), ("dry", "false"), ("version", "v1")]).unwrap();
    let all: Vec<_> = inputs.iter().collect();
    assert_eq!(
        all,
        [
            ("version", "v1"),
            ("colour", "blue"),
            ("dry", "false"),
            ("share", "-0.5")
        ]
    );
}

#[test]
fn what_is_wrong_is_said_with_what_is_allowed() {
    let with = |name, value| {
        of(&[("version", "v1"), (name, value)])
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        with("colr", "red"),
        "the workflow has no input colr; it has version, colour, dry, share, where"
    );
    assert_eq!(
        with("colour", "red"),
        "the input colour must be one of: blue, green"
    );
    assert_eq!(
        with("colour", "Blue"),
        "the input colour must be one of: blue, green"
    );
    assert_eq!(with("dry", "yes"), "the input dry must be true or false");
    for number in ["", "x", "1e9", "NaN", "1.", ".5", "--1", "0x10", "1 "] {
        assert_eq!(
            with("share", number),
            "the input share must be a number, like 3 or 0.5"
        );
    }
    assert_eq!(
        with("where", " "),
        "the input where must be the name of an environment of the repository"
    );
    assert_eq!(
        with("version", "v2"),
        "the input version is given twice; give it once"
    );
    let missing = "the input version is missing; give version=TEXT";
    assert_eq!(of(&[]).unwrap_err().to_string(), missing);
    assert_eq!(of(&[("version", "")]).unwrap_err().to_string(), missing);
}

#[test]
fn a_workflow_without_inputs_says_so() {
    let given = [("a".to_owned(), "b".to_owned())];
    let error = check(&Declared::default(), &given).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the workflow has no input a; it takes none"
    );
}

#[test]
fn too_many_and_too_long_are_refused() {
    let many: Vec<_> = (0..26)
        .map(|number| (number.to_string(), String::new()))
        .collect();
    assert_eq!(check(&declared(), &many), Err(InputError::TooMany(26)));
    let inputs = (0..26)
        .map(|number| input(&number.to_string(), InputKind::Text, false, Some("x")))
        .collect();
    let defaults = check(&Declared { inputs }, &[]);
    assert_eq!(defaults, Err(InputError::TooMany(26)));
    let fits = "é".repeat(MAX_TOTAL - "version".len() - "colourblue".len());
    assert!(of(&[("version", &fits)]).is_ok());
    assert_eq!(
        of(&[("version", &format!("{fits}x"))]),
        Err(InputError::TooLong)
    );
}
