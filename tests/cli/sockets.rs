//! Several sockets in the configuration.

use crate::config::{VARIABLES, check, told};
use crate::vaultgram;

#[test]
fn several_sockets_are_checked() {
    told(&[
        ("[sockets]\n", "nothing to serve"),
        (
            "[sockets.ci]\nmode = \"0600\"\n",
            "[sockets.ci] path: is missing; write it like path = \"/run/vaultgram/ci.sock\"",
        ),
        (
            "[sockets.ci]\npath = \"s\"\nmode = \"rw\"\n",
            "[sockets.ci] mode: not octal permissions",
        ),
        (
            "[sockets.Ci]\npath = \"s\"\n",
            "[sockets] \"Ci\": write a name of a to z, 0 to 9 and \"-\"",
        ),
        (
            "[sockets.default]\npath = \"s\"\n",
            "other than \"default\", which is [socket]",
        ),
        (
            "[socket]\npath = \"s\"\n[sockets.ci]\npath = \"s\"\n",
            "is the path of [socket] too; each socket needs its own",
        ),
    ]);
    let config = "[socket]\npath = \"a\"\n\
                  [sockets.ci]\npath = \"b\"\nmode = \"0600\"\nowner = \"ci\"\ngroup = \"5\"\n";
    let policy = |name: &str| {
        format!(
            "@id(\"x\") forbid(principal, action, resource)
             when {{ context has socket && context.socket == \"{name}\" }};"
        )
    };
    let ran = check(config, &policy("ci"), VARIABLES);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let sockets: Vec<_> = ran
        .out
        .lines()
        .filter(|it| it.starts_with("socket"))
        .collect();
    assert_eq!(sockets.len(), 2, "{}", ran.out);
    assert!(
        sockets[0].starts_with("socket    default: /") && sockets[0].ends_with("/a (mode 0660)")
    );
    assert!(
        sockets[1].ends_with("/b (mode 0600, owner ci, group 5)"),
        "{}",
        ran.out
    );
    let ran = check(config, &policy("cii"), VARIABLES);
    assert_eq!(ran.code, 78, "{}", ran.out);
    let said = "x: no socket is called \"cii\"; there is \"default\", \"ci\"";
    assert!(ran.err.contains(said), "{}", ran.err);
}

#[test]
fn a_socket_that_cannot_be_made_keeps_all_from_being_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let config = "[socket]\npath = \"a.sock\"\n[sockets.ci]\npath = \"missing/folder/b.sock\"\n";
    std::fs::write(path("vaultgram.toml"), config).unwrap();
    std::fs::write(path("policy.cedar"), "").unwrap();
    let ran = vaultgram(directory.path(), VARIABLES, &["serve"]);
    assert_eq!(ran.code, 73, "{ran:?}");
    let said = "[sockets.ci] path: the folder";
    assert!(
        ran.err.contains(said) && ran.err.contains("does not exist"),
        "{ran:?}"
    );
    assert!(!path("a.sock").exists(), "the first one is gone again");
}

#[test]
fn credentials_are_checked() {
    told(&[
        ("[credentials]\n", "nothing to serve"),
        (
            "[credentials.units.app]\nx = \"secret/app\"\n",
            "[credentials.units.\"app\"]: not a unit's full name; write it like \"app.service\"",
        ),
        (
            "[credentials.units.\"app@.service\"]\nx = \"secret/app\"\n",
            "each instance of a template for itself",
        ),
        (
            "[credentials.units.\"a.service\"]\n\"x/y\" = \"secret/app\"\n",
            "\"x/y\": systemd takes no such name",
        ),
        (
            "[credentials.units.\"a.service\"]\nx = \"secret/../app\"\n",
            "[credentials.units.\"a.service\"] x: ",
        ),
        (
            "[socket]\npath = \"s\"\n[credentials]\npath = \"s\"\n\
             [credentials.units.\"a.service\"]\nx = \"secret/app\"\n",
            "[credentials] path: ",
        ),
        (
            "[sockets.credentials]\npath = \"s\"\n",
            "and \"credentials\", which is [credentials]",
        ),
    ]);
    let config =
        "[credentials]\npath = \"c\"\n[credentials.units.\"a.service\"]\nx = \"secret/app#y\"\n";
    let policy = "@id(\"x\") forbid(principal, action, resource)
                  when { context has socket && context.socket == \"credentials\" };";
    let ran = check(config, policy, VARIABLES);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let line = ran.out.lines().find(|it| it.starts_with("systemd"));
    assert!(
        line.unwrap().ends_with("/c for 1 credential"),
        "{}",
        ran.out
    );
}
