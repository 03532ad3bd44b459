//! Logging in by userpass and JWT: what is let in, what is refused, and what is said then.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use vaultgram::broker::ports::{Clock, StoreError, SystemClock};
use vaultgram::vault::{Auth, Jwt, Method};

use crate::openbao::OpenBao;
use crate::world::{SHIPPED, World, error, logged_out, secret, settings};

/// `method` at `mount`.
pub(crate) fn by(mount: &str, method: Method) -> Auth {
    Auth::Method {
        mount: mount.to_owned(),
        method,
    }
}

/// An OpenBao with the auth method `kind` at `mount`, the policy we ship, and `secret/app`.
pub(crate) fn bao_with(kind: &str, mount: &str) -> OpenBao {
    let bao = OpenBao::start();
    bao.put("app", &json!({"k": "v"}));
    bao.policy("vaultgram", SHIPPED);
    bao.must("POST", &format!("sys/auth/{mount}"), &json!({"type": kind}));
    bao
}

/// That `auth` is let in and reads.
pub(crate) async fn let_in(bao: &OpenBao, auth: Auth) -> World {
    let world = World::start(settings(bao.address(), auth));
    world.ready().await;
    assert_eq!(world.field("app", "k").await.unwrap(), r#""v""#);
    world
}

/// Why `auth` is not let in, which holds none of `hidden`.
pub(crate) async fn turned_away(bao: &OpenBao, auth: Auth, hidden: &[&str]) -> String {
    let world = World::start(settings(bao.address(), auth));
    assert_eq!(error(world.read("app").await), StoreError::LoggedOut);
    let reason = logged_out(&world.store).await;
    for hidden in hidden {
        assert!(!reason.contains(hidden), "{reason}");
    }
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn userpass() {
    let bao = bao_with("userpass", "people");
    let password = "pass \"wörd\\7f3a";
    let user = json!({"password": password, "token_policies": "vaultgram"});
    bao.must("POST", "auth/people/users/vaultgram", &user);
    let auth = |mount, username: &str, password| {
        let method = Method::Userpass {
            username: username.to_owned(),
            password: secret(password),
        };
        by(mount, method)
    };
    let mut world = let_in(&bao, auth("people", "vaultgram", password)).await;
    world.stop().await;
    for (mount, username, given) in [
        ("people", "vaultgram", "wrong-7f3a"),
        ("people", "nobody", password),
        ("userpass", "vaultgram", password),
    ] {
        let reason = turned_away(&bao, auth(mount, username, given), &["7f3a"]).await;
        assert!(
            reason.contains("the userpass login is refused (status ")
                && reason.contains("check username, VAULT_PASSWORD, auth_mount and namespace"),
            "{reason}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_does_not_lock_the_user_out() {
    let bao = bao_with("userpass", "userpass");
    let user = json!({"password": "right", "token_policies": "vaultgram"});
    bao.must("POST", "auth/userpass/users/vaultgram", &user);
    let auth = |password| {
        let method = Method::Userpass {
            username: "vaultgram".to_owned(),
            password: secret(password),
        };
        by("userpass", method)
    };
    let world = World::start(settings(bao.address(), auth("wrong")));
    // Time for eight tries, of which Vault would take five.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let reason = logged_out(&world.store).await;
    assert!(reason.contains("invalid username or password"), "{reason}");
    let_in(&bao, auth("right")).await;
}

/// What signs tokens: keys of OpenBao's transit engine, which writes signatures as JWTs do.
pub(crate) struct Signer<'a>(pub(crate) &'a OpenBao);

impl<'a> Signer<'a> {
    pub(crate) fn new(bao: &'a OpenBao) -> Self {
        bao.must("POST", "sys/mounts/transit", &json!({"type": "transit"}));
        for key in ["trusted", "strange"] {
            let path = format!("transit/keys/{key}");
            bao.must("POST", &path, &json!({"type": "ecdsa-p256"}));
        }
        Self(bao)
    }

    /// What Vault checks the signatures of `key` with.
    fn public(&self, key: &str) -> Value {
        let path = format!("transit/keys/{key}");
        self.0.must("GET", &path, &Value::Null)["data"]["keys"]["1"]["public_key"].clone()
    }

    /// A token with `claims`, signed with `key`.
    pub(crate) fn sign(&self, key: &str, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "typ": "JWT"}).to_string();
        let url = |text: &str| {
            base64(text)
                .replace('+', "-")
                .replace('/', "_")
                .replace('=', "")
        };
        let text = format!("{}.{}", url(&header), url(&claims.to_string()));
        let input = json!({"input": base64(&text), "marshaling_algorithm": "jws"});
        let answer = self
            .0
            .must("POST", &format!("transit/sign/{key}/sha2-256"), &input);
        let signature = answer["data"]["signature"].as_str().unwrap();
        format!("{text}.{}", signature.rsplit(':').next().unwrap())
    }
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let byte = |place| u32::from(chunk.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place > chunk.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    out
}

/// Replaces a token's file as Kubernetes does: by another of the same name.
pub(crate) fn replace(path: &Path, token: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, format!("{token}\n")).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// The claims of a token that ends `seconds` from now.
pub(crate) fn ending_in(seconds: i64) -> Value {
    let now = SystemClock.now().unix_timestamp();
    json!({
        "iss": "https://issuer.example.org",
        "sub": "vaultgram",
        "aud": "vault",
        "iat": now.min(now + seconds) - 10,
        "nbf": now.min(now + seconds) - 10,
        "exp": now + seconds,
    })
}

/// OpenBao trusts the key `trusted`; the role `vaultgram` takes `sub` vaultgram for `vault`.
fn trust(bao: &OpenBao, signer: &Signer<'_>) {
    let keys = json!({"jwt_validation_pubkeys": [signer.public("trusted")]});
    bao.must("POST", "auth/jwt/config", &keys);
    let role = json!({
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_subject": "vaultgram",
        "bound_audiences": ["vault"],
        "token_policies": "vaultgram",
    });
    bao.must("POST", "auth/jwt/role/vaultgram", &role);
}

fn jwt(role: &str, token: Jwt) -> Auth {
    let role = role.to_owned();
    by("jwt", Method::Jwt { role, token })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_token_is_let_in_and_any_other_refused() {
    let bao = bao_with("jwt", "jwt");
    let signer = Signer::new(&bao);
    trust(&bao, &signer);
    let good = signer.sign("trusted", &ending_in(600));
    let mut world = let_in(&bao, jwt("vaultgram", Jwt::Value(secret(&good)))).await;
    world.stop().await;

    let mut other_subject = ending_in(600);
    other_subject["sub"] = json!("mallory");
    let mut other_audience = ending_in(600);
    other_audience["aud"] = json!("elsewhere");
    for (role, key, claims, cause) in [
        ("vaultgram", "trusted", ending_in(-600), "expired"),
        ("vaultgram", "strange", ending_in(600), "signature"),
        ("vaultgram", "trusted", other_subject, "sub"),
        ("vaultgram", "trusted", other_audience, "aud"),
        ("nobody", "trusted", ending_in(600), "role"),
    ] {
        let token = signer.sign(key, &claims);
        let auth = jwt(role, Jwt::Value(secret(&token)));
        let reason = turned_away(&bao, auth, &[&token]).await;
        assert!(
            reason.starts_with("the JWT login is refused (status ") && reason.contains(cause),
            "{cause}: {reason}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_is_read_at_each_login() {
    let bao = bao_with("jwt", "jwt");
    let signer = Signer::new(&bao);
    trust(&bao, &signer);
    let directory = TempDir::new().unwrap();
    let file: PathBuf = directory.path().join("token");
    let auth = || jwt("vaultgram", Jwt::File(file.clone()));

    let reason = turned_away(&bao, auth(), &[]).await;
    let said = format!("cannot be read from {}: No such file", file.display());
    assert!(reason.contains(&said), "{reason}");
    std::fs::create_dir(&file).unwrap();
    let reason = turned_away(&bao, auth(), &[]).await;
    assert!(reason.contains("it is not a file"), "{reason}");
    std::fs::remove_dir(&file).unwrap();
    replace(&file, &"x".repeat(70_000));
    let reason = turned_away(&bao, auth(), &[]).await;
    assert!(reason.contains("too large"), "{reason}");
    replace(&file, "");
    let reason = turned_away(&bao, auth(), &[]).await;
    assert!(reason.contains("is empty"), "{reason}");

    replace(&file, &signer.sign("trusted", &ending_in(600)));
    let world = let_in(&bao, auth()).await;
    replace(&file, &signer.sign("trusted", &ending_in(-600)));
    let revoke = || bao.must("PUT", "sys/leases/revoke-prefix/auth/jwt", &Value::Null);
    revoke();
    assert_eq!(error(world.read("app").await), StoreError::LoggedOut);
    let reason = logged_out(&world.store).await;
    assert!(reason.contains("expired"), "{reason}");
    replace(&file, &signer.sign("trusted", &ending_in(600)));
    world.ready().await;
    assert!(world.read("app").await.is_ok());
}
