//! What engines make and do, checked by programs that know nothing of vaultgram.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use vaultgram::broker::ports::{SecretStore, StoreError};
use vaultgram::domain::{Field, Origin, Secret, SecretPath, SecretValue, Target};
use vaultgram::vault::Auth;

use crate::openbao::OpenBao;
use crate::world::{
    SHIPPED, World, app_role_with, error, fields, permit, permit_to, settings, static_token,
};

/// The shipped policy with everything in it that has to be asked for.
pub(crate) fn role(bao: &OpenBao) -> Auth {
    let commented = |line: &str| {
        ["#path", "#  capabilities", "#}"]
            .iter()
            .any(|mark| line.starts_with(mark))
    };
    let rules = SHIPPED.lines().map(|line| match line.strip_prefix('#') {
        Some(rule) if commented(line) => format!("{rule}\n"),
        Some(_) | None => format!("{line}\n"),
    });
    app_role_with(bao, "engines", &rules.collect::<String>(), &json!({}))
}

/// A field that is a string.
pub(crate) fn value(secret: &Secret, name: &str) -> String {
    let all = fields(secret);
    let found = all.iter().find(|(field, _)| field == name);
    let (_, json) = found.unwrap_or_else(|| panic!("no {name}"));
    serde_json::from_str(json).unwrap_or_else(|_| json.clone())
}

fn parameters(pairs: &[(&str, &str)]) -> Vec<Field> {
    let field = |(name, text): &(&str, &str)| crate::world::field(name, &json!(text).to_string());
    pairs.iter().map(field).collect()
}

/// An engine mounted at its own name, and a store that may use it.
struct Engine {
    bao: OpenBao,
    world: World,
    name: &'static str,
}

impl Engine {
    fn mount(name: &'static str) -> Self {
        let bao = OpenBao::start();
        bao.must(
            "POST",
            &format!("sys/mounts/{name}"),
            &json!({ "type": name }),
        );
        let world = World::start(settings(bao.address(), role(&bao)));
        Self { bao, world, name }
    }

    fn set_up(&self, path: &str, body: &Value) -> Value {
        self.bao
            .must("POST", &format!("{}/{path}", self.name), body)
    }

    async fn try_invoke(&self, path: &str, pairs: &[(&str, &str)]) -> Result<Secret, StoreError> {
        let at = permit(self.name, path, None);
        self.world.store.invoke(&at, &parameters(pairs)).await
    }

    async fn invoke(&self, path: &str, pairs: &[(&str, &str)]) -> Secret {
        let done = self.try_invoke(path, pairs).await;
        done.unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    async fn ask(&self, path: &str, pairs: &[(&str, &str)], name: &str) -> String {
        value(&self.invoke(path, pairs).await, name)
    }
}

/// Runs a program that must succeed; what it printed.
fn run(program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{program} {arguments:?}: {ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_issued_and_signed_and_openssl_verifies_them() {
    let pki = Engine::mount("pki");
    pki.set_up(
        "root/generate/internal",
        &json!({"common_name": "Test CA", "ttl": "87600h"}),
    );
    let role =
        json!({"allowed_domains": "example.org", "allow_subdomains": true, "max_ttl": "72h"});
    pki.set_up("roles/web", &role);
    let authority = permit("pki", "cert/ca", None);
    let authority = pki.world.store.read(&authority).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = file(folder.path(), "ca.pem", &value(&authority, "certificate"));

    let issued = pki
        .invoke("issue/web", &[("common_name", "www.example.org")])
        .await;
    let certificate = file(folder.path(), "www.pem", &value(&issued, "certificate"));
    let key = file(folder.path(), "www.key", &value(&issued, "private_key"));
    run("openssl", &["verify", "-CAfile", &authority, &certificate]);
    let of_key = run("openssl", &["pkey", "-in", &key, "-pubout"]);
    assert_eq!(
        run(
            "openssl",
            &["x509", "-in", &certificate, "-noout", "-pubkey"]
        ),
        of_key
    );

    // A key that Vault never sees.
    let (own, request) = (folder.path().join("own.key"), folder.path().join("own.csr"));
    let (own, request) = (own.to_str().unwrap(), request.to_str().unwrap());
    let new = [
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=own.example.org",
    ];
    run(
        "openssl",
        &[&new[..], &["-keyout", own, "-out", request]].concat(),
    );
    let request = std::fs::read_to_string(request).unwrap();
    let signed = pki
        .invoke(
            "sign/web",
            &[("csr", &request), ("common_name", "own.example.org")],
        )
        .await;
    let signed = file(folder.path(), "own.pem", &value(&signed, "certificate"));
    run("openssl", &["verify", "-CAfile", &authority, &signed]);

    let certs = SecretPath::folder("pki", "certs").unwrap();
    let certs = permit_to(
        vaultgram::domain::Action::List,
        Target {
            path: certs,
            field: None,
            version: None,
        },
    );
    let names = pki.world.store.list(&certs).await.unwrap();
    let serial = value(&issued, "serial_number");
    assert!(
        names.len() == 3 && names.contains(&serial.replace(':', "-")) || names.contains(&serial),
        "{names:?}"
    );

    let refused = error(
        pki.try_invoke("issue/web", &[("common_name", "www.elsewhere.net")])
            .await,
    );
    let StoreError::Rejected(said) = &refused else {
        panic!("{refused:?}");
    };
    assert!(
        said.contains("not allowed by this role") && !said.contains("elsewhere"),
        "{said}"
    );
    let read = error(
        pki.world
            .store
            .read(&permit("pki", "issue/web", None))
            .await,
    );
    // The policy lets nobody read there; what may be read there, Vault would not do.
    assert_eq!(read, StoreError::Forbidden);
    let root = World::start(settings(pki.bao.address(), static_token(pki.bao.root())));
    let read = error(root.store.read(&permit("pki", "issue/web", None)).await);
    assert_eq!(read, StoreError::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn transit_encrypts_signs_and_makes_keys() {
    let transit = Engine::mount("transit");
    transit.set_up("keys/mail", &json!({}));
    transit.set_up("keys/seal", &json!({"type": "ed25519"}));
    let (plain, other) = ("aHVudGVyMg==", "b3RoZXI=");
    let hidden = transit
        .ask("encrypt/mail", &[("plaintext", plain)], "ciphertext")
        .await;
    assert!(hidden.starts_with("vault:v1:"), "{hidden}");
    let shown = transit
        .ask("decrypt/mail", &[("ciphertext", &hidden)], "plaintext")
        .await;
    assert_eq!(shown, plain);

    transit.set_up("keys/mail/rotate", &json!({}));
    let newer = transit
        .ask("rewrap/mail", &[("ciphertext", &hidden)], "ciphertext")
        .await;
    assert!(newer.starts_with("vault:v2:"), "{newer}");
    let shown = transit
        .ask("decrypt/mail", &[("ciphertext", &newer)], "plaintext")
        .await;
    assert_eq!(shown, plain);

    let signature = transit
        .ask("sign/seal", &[("input", plain)], "signature")
        .await;
    for (input, valid) in [(plain, "true"), (other, "false")] {
        let pairs = [("input", input), ("signature", &signature)];
        assert_eq!(transit.ask("verify/seal", &pairs, "valid").await, valid);
    }
    let tag = transit.ask("hmac/mail", &[("input", plain)], "hmac").await;
    let pairs = [("input", plain), ("hmac", &tag)];
    assert_eq!(transit.ask("verify/mail", &pairs, "valid").await, "true");

    let key = transit.invoke("datakey/plaintext/mail", &[]).await;
    let opened = [("ciphertext", value(&key, "ciphertext"))];
    let opened = transit
        .ask("decrypt/mail", &[(opened[0].0, &opened[0].1)], "plaintext")
        .await;
    assert_eq!(opened, value(&key, "plaintext"));

    // What was given is in no error.
    let broken = error(
        transit
            .try_invoke("decrypt/mail", &[("ciphertext", "vault:v1:bm9uc2Vuc2U")])
            .await,
    );
    let StoreError::Rejected(said) = &broken else {
        panic!("{broken:?}");
    };
    assert!(!said.is_empty() && !said.contains("bm9uc2"), "{said}");
    let absent = error(transit.try_invoke("encrypt", &[("plaintext", plain)]).await);
    assert_eq!(absent, StoreError::Forbidden);

    let at = permit("transit", "datakey/plaintext/mail", None);
    let minute = Duration::from_mins(1);
    let wrapped = transit
        .world
        .store
        .invoke_wrapped(&at, &[], minute)
        .await
        .unwrap();
    assert_eq!(wrapped.facts.ttl, minute);
    #[expect(clippy::disallowed_methods, reason = "who has the token unwraps")]
    let token = String::from_utf8(wrapped.token.expose_secret().to_vec()).unwrap();
    let unwrapped = transit
        .bao
        .must("POST", "sys/wrapping/unwrap", &json!({ "token": token }));
    assert!(unwrapped["data"]["plaintext"].is_string(), "{unwrapped}");
}

/// RFC 6238, by Python's standard library.
const TOTP: &str = "
import base64, hashlib, hmac, struct, sys, time
step = int(time.time()) // 30 + int(sys.argv[2])
digest = hmac.new(base64.b32decode(sys.argv[1]), struct.pack('>Q', step), hashlib.sha1).digest()
start = digest[-1] & 15
print('%06d' % ((struct.unpack('>I', digest[start:start + 4])[0] & 0x7fffffff) % 1000000), end='')
";

#[tokio::test(flavor = "multi_thread")]
async fn one_time_codes_are_those_of_any_authenticator() {
    let totp = Engine::mount("totp");
    let key = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
    let made = json!({"key": key, "issuer": "Test", "account_name": "app", "period": 30});
    totp.set_up("keys/app", &made);
    let at = permit("totp", "code/app", None);
    let secret = totp.world.store.read(&at).await.unwrap();
    assert_eq!(secret.origin, Origin::Plain);
    let code = value(&secret, "code");
    let own = |shift: &str| run("python3", &["-c", TOTP, key, shift]);
    // The half minute may have ended meanwhile.
    assert!([own("0"), own("-1")].contains(&code), "{code}");
    assert_eq!(
        totp.ask("code/app", &[("code", &own("0"))], "valid").await,
        "true"
    );
    // A vote that carries a code: each is taken once.
    let check = async |key: &str, code: &str| {
        let code = SecretValue::new(code.as_bytes().to_vec());
        totp.world.store.check_code("totp", key, &code).await
    };
    totp.set_up("keys/alice", &made);
    let next = own("1");
    assert_eq!(check("alice", &next).await, Ok(true));
    assert_eq!(check("alice", &next).await, Ok(false), "it was used");
    for wrong in ["", "12345", "1234567", "12345a", "\"12345", "000000"] {
        assert_eq!(check("alice", wrong).await, Ok(false), "{wrong}");
    }
    let nobody = check("bob", &own("0")).await;
    assert!(matches!(nobody, Err(StoreError::Rejected(_))), "{nobody:?}");
    assert_eq!(check("telegram:1", &next).await, Err(StoreError::NotFound));
    assert_eq!(check("../keys", &next).await, Err(StoreError::NotFound));
    let refused = totp.try_invoke("code/app", &[("code", "000000")]).await;
    assert!(refused.is_err() || refused.is_ok_and(|answer| value(&answer, "valid") == "false"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_certificates_are_signed_and_ssh_keygen_reads_them() {
    let ssh = Engine::mount("ssh");
    ssh.set_up("config/ca", &json!({"generate_signing_key": true}));
    let role = json!({
        "key_type": "ca", "allow_user_certificates": true, "allowed_users": "*",
        "default_user": "deploy", "ttl": "30m",
    });
    ssh.set_up("roles/ops", &role);
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("id");
    run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()],
    );
    let public = std::fs::read_to_string(folder.path().join("id.pub")).unwrap();
    let pairs = [("public_key", &*public), ("valid_principals", "deploy")];
    let signed = ssh.ask("sign/ops", &pairs, "signed_key").await;
    let certificate = file(folder.path(), "id-cert.pub", &signed);
    let shown = run("ssh-keygen", &["-L", "-f", &certificate]);
    assert!(
        shown.contains("user certificate") && shown.contains("deploy"),
        "{shown}"
    );
    let issued = ssh.invoke("issue/ops", &[("key_type", "ed25519")]).await;
    let certificate = file(folder.path(), "new-cert.pub", &value(&issued, "signed_key"));
    run("ssh-keygen", &["-L", "-f", &certificate]);
    assert!(value(&issued, "private_key").starts_with("-----BEGIN"));
}
