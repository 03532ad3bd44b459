//! What policies say beyond yes, in the annotations of their `permit`s.

use std::time::Duration;

use cedar_policy::Effect;

use crate::domain::span;

/// Longest name of a token role, in bytes.
const MAX_ROLE: usize = 128;
/// The longest a secret may be kept, fresh or stale.
const MAX_KEPT: Duration = Duration::from_hours(24);

/// How an allowed request is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// `@vault_role("developers")`: Vault is asked with a token of this token role
    /// (`auth/token/roles/developers`), so that it refuses by itself what our policy wrongly
    /// allowed.
    pub vault_role: Option<String>,
    /// `@cache("1m")`: what is read may be kept.
    pub cache: Option<CacheTerms>,
}

/// How long a secret that was read may be handed out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheTerms {
    /// Without asking Vault for its values again.
    pub ttl: Duration,
    /// `@stale("15m")`: while Vault does not answer; counted from when it was read. Zero where
    /// nothing stale may be handed out.
    pub stale: Duration,
}

impl Terms {
    /// The terms of several policies that each allow a request. Each is a way in of its own: the
    /// first token role counts, and the shortest times.
    pub(in crate::domain) fn all<'t>(terms: impl Iterator<Item = &'t Self>) -> Self {
        let mut all = Self::default();
        for terms in terms {
            if all.vault_role.is_none() {
                all.vault_role.clone_from(&terms.vault_role);
            }
            all.cache = match (all.cache, terms.cache) {
                (Some(one), Some(other)) => Some(CacheTerms {
                    ttl: one.ttl.min(other.ttl),
                    stale: one.stale.min(other.stale),
                }),
                (one, other) => one.or(other),
            };
        }
        all
    }
}

/// The terms in a policy's annotations, or the annotation that is wrong and why.
pub(in crate::domain) fn of(
    policy: &cedar_policy::Policy,
) -> Result<Terms, (&'static str, String)> {
    let text = |name: &'static str| policy.annotation(name).map(|text| (name, text));
    let (role, cache, stale) = (text("vault_role"), text("cache"), text("stale"));
    if let (Effect::Forbid, Some((name, _))) = (policy.effect(), role.or(cache).or(stale)) {
        let problem =
            format!("@{name} says how a permit is carried out; a forbid has no use for it");
        return Err((name, problem));
    }
    if let Some((name, role)) = role
        && !is_role(role)
    {
        return Err((
            name,
            "the name of a token role has 1 to 128 letters, digits, \"-\", \"_\" and \".\""
                .to_owned(),
        ));
    }
    let time = |(name, text)| match duration(text) {
        Some(time) => Ok(time),
        None => Err((
            name,
            format!("@{name} is a time from 1s to 24h, like \"30s\", \"5m\" or \"1h\""),
        )),
    };
    let ttl = cache.map(time).transpose()?;
    let stale = stale.map(time).transpose()?;
    let cache = match (ttl, stale) {
        (None, None) => None,
        (None, Some(_)) => {
            let problem = "@stale says how long what is cached may be served while Vault is away; \
                           it needs @cache beside it";
            return Err(("stale", problem.to_owned()));
        }
        (Some(ttl), Some(stale)) if stale < ttl => {
            let problem = "@stale is counted from when the secret was read, as @cache is; it must \
                           not be shorter";
            return Err(("stale", problem.to_owned()));
        }
        (Some(ttl), stale) => Some(CacheTerms {
            ttl,
            stale: stale.unwrap_or_default(),
        }),
    };
    Ok(Terms {
        vault_role: role.map(|(_, role)| role.to_owned()),
        cache,
    })
}

fn is_role(text: &str) -> bool {
    let sign = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=MAX_ROLE).contains(&text.len()) && text.chars().all(sign) && !text.starts_with('.')
}

/// `30s`, `5m`, `1h`.
fn duration(text: &str) -> Option<Duration> {
    let time = span::counted(text, &[("s", 1), ("m", 60), ("h", 3600)])?;
    (time <= MAX_KEPT).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_strictly() {
        for (text, seconds) in [("1s", 1), ("5m", 300), ("24h", 86400), ("090s", 90)] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "0s",
            "5",
            "-1s",
            "+1s",
            "1.5h",
            "25h",
            "1d",
            "1h30m",
            "99999999999999999999h",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn of_several_ways_in_the_shortest_times_count() {
        let terms = |role: Option<&str>, cache: Option<(u64, u64)>| Terms {
            vault_role: role.map(str::to_owned),
            cache: cache.map(|(ttl, stale)| CacheTerms {
                ttl: Duration::from_secs(ttl),
                stale: Duration::from_secs(stale),
            }),
        };
        let all = [
            terms(None, None),
            terms(Some("a"), Some((60, 300))),
            terms(Some("b"), Some((90, 0))),
        ];
        assert_eq!(Terms::all(all.iter()), terms(Some("a"), Some((60, 0))));
        assert_eq!(Terms::all([].iter()), Terms::default());
    }
}
