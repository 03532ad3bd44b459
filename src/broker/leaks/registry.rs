//! The releases of the last day, and the list of their values.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use time::{Duration, OffsetDateTime};

use super::{Holder, Leak, leaves};
use crate::domain::leak::{Key, Owner, Place, Watchlist, pieces};
use crate::domain::{Caller, Field, Permit, Secret, SecretPath};

/// How long a value is known.
const LIFETIME: Duration = Duration::days(1);
/// The most values that are known; with one more, the oldest go.
const MAX_VALUES: usize = 50_000;
/// The most releases, whatever is in them.
const MAX_RELEASES: usize = 50_000;
/// What goes at once where there are too many: so that it need not be done each time.
const MAKE_ROOM: usize = 16;
/// The most values of one secret.
const MAX_EACH: usize = 1000;
/// The most holders of one release that are remembered; with one more, the oldest goes.
const MAX_HOLDERS: usize = 64;
/// Fields whose values are no secrets, and stand in every log.
const NAMES: [&str; 17] = [
    "access_key",
    "access_key_id",
    "accessor",
    "arn",
    "bucket",
    "ca_chain",
    "certificate",
    "client_id",
    "database",
    "host",
    "hostname",
    "issuing_ca",
    "public_key",
    "region",
    "serial_number",
    "user",
    "username",
];
/// How often what is too old is looked for.
const SWEEP: Duration = Duration::minutes(1);

/// All of them, once it is started.
#[derive(Default)]
pub(in crate::broker) struct Registry(OnceLock<Started>);

struct Started {
    hasher: RandomState,
    known: Mutex<Known>,
}

struct Known {
    list: Watchlist,
    releases: HashMap<u64, Release>,
    swept: OffsetDateTime,
}

/// One content that was handed out, to whomever.
struct Release {
    path: SecretPath,
    version: Option<u64>,
    fields: Vec<String>,
    places: Vec<Place>,
    holders: Vec<Holder>,
    at: OffsetDateTime,
}

impl Registry {
    /// From now on there is something to remember.
    pub(super) fn start(&self, key: Key) {
        self.0.get_or_init(|| Started {
            hasher: RandomState::new(),
            known: Mutex::new(Known {
                list: Watchlist::new(key),
                releases: HashMap::new(),
                swept: OffsetDateTime::UNIX_EPOCH,
            }),
        });
    }

    /// How many values are known.
    pub(in crate::broker) fn count(&self) -> Option<usize> {
        self.0.get().map(|started| started.known().list.len())
    }

    /// `secret` is handed to who asked with `permit`. What was handed out before is not taken
    /// apart again.
    pub(super) fn add(&self, permit: &Permit, secret: &Secret, now: OffsetDateTime) {
        let Some(started) = self.0.get() else {
            return;
        };
        let request = permit.request();
        let holder = Holder {
            caller: request.caller.clone(),
            request: request.id.clone(),
            at: now,
            action: request.action,
            grant: permit.grant().cloned(),
            lease: secret.lease().map(|lease| lease.id.clone()),
        };
        let number = started.number(&request.target.path, secret);
        let mut known = started.known();
        if let Some(release) = known.releases.get_mut(&number) {
            release.hold(holder);
            return;
        }
        known.make_room(now);
        let mut release = Release {
            path: request.target.path.clone(),
            version: secret.version(),
            fields: secret.names().map(str::to_owned).collect(),
            places: vec![],
            holders: vec![holder],
            at: now,
        };
        for (field, position) in secret.fields.iter().zip(0..=u16::MAX) {
            let owner = Owner {
                release: number,
                field: position,
            };
            if is_name(&field.name) {
                continue;
            }
            leaves(exposed(field), &mut |text| {
                for piece in pieces(text) {
                    if piece != field.name && release.places.len() < MAX_EACH {
                        let place = known.list.add(piece.as_bytes(), owner);
                        release.places.extend(place);
                    }
                }
            });
        }
        known.releases.insert(number, release);
    }

    /// What is known of the values in `text`.
    pub(super) fn find(&self, text: &str, now: OffsetDateTime) -> Vec<Leak> {
        let Some(started) = self.0.get() else {
            return vec![];
        };
        let known = started.known();
        let mut leaks: BTreeMap<(String, Option<u64>, String), Leak> = BTreeMap::new();
        for owner in known.list.find(text) {
            let Some(release) = known.releases.get(&owner.release) else {
                continue;
            };
            let field = release.fields.get(usize::from(owner.field));
            let Some(field) = field.filter(|_| release.at + LIFETIME > now) else {
                continue;
            };
            // The same may have been handed out with other fields, and without.
            let name = (release.path.to_string(), release.version, field.clone());
            let leak = leaks.entry(name).or_insert_with(|| Leak {
                path: release.path.clone(),
                version: release.version,
                field: field.clone(),
                holders: vec![],
            });
            let recent = release.holders.iter();
            let recent = recent.filter(|holder| holder.at + LIFETIME > now);
            leak.holders.extend(recent.cloned());
        }
        let mut leaks: Vec<_> = leaks.into_values().collect();
        for leak in &mut leaks {
            leak.holders.sort_by_key(|holder| holder.at);
            let mut seen = vec![];
            leak.holders.reverse();
            leak.holders.retain(|holder| {
                let this = (holder.caller.to_string(), holder.lease.clone());
                let new = !seen.contains(&this);
                seen.push(this);
                new
            });
        }
        leaks
    }
}

impl Started {
    fn known(&self) -> MutexGuard<'_, Known> {
        // What a panic leaves half done is a value that is not found, at worst.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for the same content at the same place, and for nothing else.
    fn number(&self, path: &SecretPath, secret: &Secret) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        path.hash(&mut hasher);
        secret.version().hash(&mut hasher);
        // Of two leases with the same values, none must be forgotten.
        secret.lease().map(|lease| &lease.id).hash(&mut hasher);
        for field in &secret.fields {
            field.name.hash(&mut hasher);
            exposed(field).hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Known {
    /// Forgets what is too old, and the oldest where there is too much.
    fn make_room(&mut self, now: OffsetDateTime) {
        if now - self.swept >= SWEEP {
            self.swept = now;
            self.forget(|release| release.at + LIFETIME <= now);
        }
        if self.list.len() + MAX_EACH <= MAX_VALUES && self.releases.len() < MAX_RELEASES {
            return;
        }
        let mut times: Vec<_> = self.releases.values().map(|release| release.at).collect();
        times.sort_unstable();
        let oldest = times.get(times.len() / MAKE_ROOM).copied();
        self.forget(|release| oldest.is_none_or(|oldest| release.at <= oldest));
    }

    fn forget(&mut self, old: impl Fn(&Release) -> bool) {
        let list = &mut self.list;
        self.releases.retain(|number, release| {
            let old = old(release);
            if old {
                for place in &release.places {
                    list.remove(*number, *place);
                }
            }
            !old
        });
    }
}

impl Release {
    /// `holder` has it too, or again.
    fn hold(&mut self, holder: Holder) {
        self.at = holder.at;
        self.holders
            .retain(|known| known.grant != holder.grant || !is_same(&known.caller, &holder.caller));
        if self.holders.len() >= MAX_HOLDERS {
            self.holders.remove(0);
        }
        self.holders.push(holder);
    }
}

/// Whether a field says who or where, or is public: people write that every day.
fn is_name(field: &str) -> bool {
    NAMES.iter().any(|name| field.eq_ignore_ascii_case(name))
}

/// Whether both are one account; each of its processes would be another caller.
fn is_same(one: &Caller, other: &Caller) -> bool {
    match (one, other) {
        (Caller::Telegram(one), Caller::Telegram(other)) => one.id == other.id,
        (Caller::Unix(one), Caller::Unix(other)) => one.uid == other.uid,
        (Caller::Job(one), Caller::Job(other)) => one.is_same_run(other),
        (Caller::Telegram(_) | Caller::Unix(_) | Caller::Job(_), _) => false,
    }
}

#[expect(clippy::disallowed_methods, reason = "only keyed marks of it are kept")]
fn exposed(field: &Field) -> &[u8] {
    field.json.expose_secret()
}
