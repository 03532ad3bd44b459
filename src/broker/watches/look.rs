//! Looking at GitHub: which runs there are, how they stand, and when to look again.

use std::collections::HashMap;

use time::{Duration, OffsetDateTime};

use super::followed::Followed;
use super::heard::Heard;
use super::{WATCHES, Watch};
use crate::broker::pipelines::ServedPipelines;
use crate::broker::ports::CoordinationError;
use crate::broker::ports::pipelines::{
    GitRef, Outcome, PipelineError, Repository, Run, RunFilter, RunId, RunJob, State,
};
use crate::broker::{Broker, BrokerError, RunError};

/// Most runs that are looked at of a watch at once.
const RECENT: usize = 20;
/// A run is looked at again after this part of the time for which nothing of it changed.
const PART: i32 = 8;
/// The longest time until then, in looks at the shortest.
const LONGEST: i32 = 20;
/// How long it is until what GitHub does not show us is looked at again.
const BLIND: Duration = Duration::minutes(5);
/// The first wait when GitHub is away, and the longest.
const AWAY: (Duration, Duration) = (Duration::seconds(5), Duration::minutes(5));
/// How long it takes GitHub at most until it shows a run that has begun.
const SHOWN: Duration = Duration::minutes(2);
/// How long a run that ended is known, so that another attempt is told in the same message.
const KEEP: Duration = Duration::days(2);
/// How long one that does not: GitHub ends them all after 35 days.
const FORGET: Duration = Duration::days(36);

/// When a process looks next: nothing that another could not begin anew.
#[derive(Default)]
pub struct Looker {
    next: HashMap<String, OffsetDateTime>,
    /// GitHub wants no requests until then, or is away.
    until: Option<OffsetDateTime>,
    failures: u32,
}

/// How a run stands, to be put in words.
pub struct RunStanding<'a> {
    /// Where it is.
    pub repository: &'a Repository,
    /// The run.
    pub run: &'a Run,
    /// Its jobs, where they matter.
    pub jobs: &'a [RunJob],
}

/// What puts it in words.
type InWords<'a> = &'a (dyn Fn(&RunStanding<'_>) -> String + Sync);

impl Looker {
    fn is_due(&self, key: &str, now: OffsetDateTime) -> bool {
        self.next.get(key).is_none_or(|at| *at <= now)
    }

    /// Nothing is asked before a while is over.
    fn pause(&mut self, error: &PipelineError, luck: f64, now: OffsetDateTime) {
        let wait = if let PipelineError::RateLimited(until) = error {
            *until - now
        } else {
            (AWAY.0 * 2_i32.pow(self.failures.min(8))).min(AWAY.1)
        };
        self.failures += 1;
        // All who wait would come at once.
        self.until = Some(now + wait * (1.0 + luck / 2.0));
        tracing::info!(event = "broker.pipelines_unseen", error = error.name(), until = ?self.until);
    }
}

impl Broker {
    /// Looks at GitHub for what it is time to look at, and puts down what the chats are to show. Whoever
    /// calls it is the only one.
    ///
    /// # Errors
    /// When the state store fails.
    pub async fn look_at_pipelines(
        &self,
        looker: &mut Looker,
        words: InWords<'_>,
    ) -> Result<(), BrokerError> {
        let (served, now) = (self.served()?, self.now());
        if looker.until.is_some_and(|until| until > now) {
            return Ok(());
        }
        let heard = self.heard().await?;
        let result = match self.look_at_watches(served, looker, &heard).await {
            Ok(()) => self.look_at_runs(served, looker, &heard, words).await,
            error => error,
        };
        match result {
            Ok(()) => {
                (looker.until, looker.failures) = (None, 0);
                for heard in &heard {
                    self.heard_out(heard).await?;
                }
                Ok(())
            }
            Err(BrokerError::Run(RunError::Server(error))) => {
                looker.pause(&error, self.luck(), now);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Finds runs that are not told of yet.
    async fn look_at_watches(
        &self,
        served: &ServedPipelines,
        looker: &mut Looker,
        heard: &[Heard],
    ) -> Result<(), BrokerError> {
        let now = self.now();
        let followed = self.followed().await?;
        let is_known = |heard: &&Heard, chat: i64| {
            let run = Some((heard.repository.clone(), heard.run));
            followed.iter().any(|it| it.chat == chat && it.run() == run)
        };
        for watch in self.watches().await? {
            let place = self
                .target_of(&watch)
                .map(|target| served.place(&target.path));
            let Some(Ok((repository, workflow))) = place else {
                continue;
            };
            let key = watch.key();
            let mut heard = heard.iter().filter(|it| it.repository == repository);
            let news = heard.any(|it| !is_known(&it, watch.chat));
            if !(news || looker.is_due(&key, now)) || !self.lets(&watch).await? {
                continue;
            }
            looker.next.insert(key, now + served.poll);
            let filter = RunFilter {
                workflow,
                branch: watch.branch.as_deref().and_then(|it| GitRef::new(it).ok()),
                limit: RECENT,
                ..RunFilter::default()
            };
            let runs = match served.port.runs(&repository, &filter).await {
                Ok(runs) => runs,
                Err(error) if is_about_this(&error) => {
                    tracing::warn!(event = "broker.watch_blind", %repository, error = error.name());
                    looker.next.insert(watch.key(), now + BLIND);
                    continue;
                }
                Err(error) => return Err(RunError::from(error).into()),
            };
            self.take_up(&watch, &repository, &runs, &followed).await?;
        }
        Ok(())
    }

    /// Has those of `runs` told of that are new, or go on.
    async fn take_up(
        &self,
        watch: &Watch,
        repository: &Repository,
        runs: &[Run],
        followed: &[Followed],
    ) -> Result<(), CoordinationError> {
        for run in runs {
            let place = Some((repository.clone(), run.id));
            let mut known = followed.iter();
            let known = known.find(|it| it.chat == watch.chat && it.run() == place);
            let moved = match known {
                Some(known) => known.over && known.updated < run.updated.unix_timestamp(),
                None => run.id.get() > watch.seen || !matches!(run.state, State::Done(_)),
            };
            if moved {
                self.follow_run(watch.chat, repository, run.id).await?;
            }
        }
        let seen = runs.iter().map(|run| run.id.get()).max().unwrap_or(0);
        if seen > watch.seen {
            let text = |watch: &Watch| {
                serde_json::to_vec(watch).map_err(|error| CoordinationError(error.to_string()))
            };
            let new = Watch {
                seen,
                ..watch.clone()
            };
            let (old, new) = (text(watch)?, text(&new)?);
            let coordination = &self.ports.coordination;
            coordination
                .swap(&watch.key(), Some(&old), Some(&new))
                .await?;
        }
        Ok(())
    }

    /// Finds out how those stand that are told of.
    async fn look_at_runs(
        &self,
        served: &ServedPipelines,
        looker: &mut Looker,
        heard: &[Heard],
        words: InWords<'_>,
    ) -> Result<(), BrokerError> {
        let all = self.followed().await?;
        let keys = |key: &String| !key.starts_with(WATCHES);
        looker
            .next
            .retain(|key, _| !keys(key) || all.iter().any(|it| it.key() == *key));
        for followed in all {
            let (now, key) = (self.now(), followed.key());
            let idle = now - moment(followed.changed);
            if idle > if followed.over { KEEP } else { FORGET } {
                self.change_followed(Some(&followed), None).await?;
                continue;
            }
            let Some((repository, run)) = followed.run() else {
                continue;
            };
            let mut told = heard.iter();
            let told = told.any(|it| it.repository == repository && it.run == run);
            let due = !followed.over && looker.is_due(&key, now);
            if !told && !due {
                continue;
            }
            let new = seen(served, (&followed, idle), (&repository, run), words).await;
            let new = new.map_err(RunError::from)?;
            let changed = new.text != followed.text;
            let new = Followed {
                revision: followed.revision + u64::from(changed),
                changed: if changed {
                    now.unix_timestamp()
                } else {
                    followed.changed
                },
                ..new
            };
            if new != followed {
                self.change_followed(Some(&followed), Some(&new)).await?;
            }
            let idle = if changed { Duration::ZERO } else { idle };
            let wait = (idle / PART).clamp(served.poll, served.poll * LONGEST);
            looker.next.insert(key, now + wait);
        }
        Ok(())
    }
}

/// How `followed`, of which nothing changed for so long, is to be shown by now.
async fn seen(
    served: &ServedPipelines,
    (followed, idle): (&Followed, Duration),
    (repository, id): (&Repository, RunId),
    words: InWords<'_>,
) -> Result<Followed, PipelineError> {
    let run = match served.port.run(repository, id).await {
        Ok(run) => run,
        // It was deleted, or is not for us any more: what stands there is the last of it. Or GitHub
        // does not show it yet.
        Err(error) if is_about_this(&error) => {
            return Ok(Followed {
                over: followed.revision > 0 || idle > SHOWN,
                ..followed.clone()
            });
        }
        Err(error) => return Err(error),
    };
    let jobs = match run.state {
        State::Queued | State::Done(Outcome::Success | Outcome::Skipped) => vec![],
        State::Waiting | State::Running | State::Done(_) => {
            served.port.jobs(repository, id).await?
        }
    };
    let standing = RunStanding {
        repository,
        run: &run,
        jobs: &jobs,
    };
    Ok(Followed {
        text: words(&standing),
        updated: run.updated.unix_timestamp(),
        over: matches!(run.state, State::Done(_)),
        ..followed.clone()
    })
}

/// Whether others can be looked at all the same.
fn is_about_this(error: &PipelineError) -> bool {
    match error {
        PipelineError::NotFound(_)
        | PipelineError::Forbidden(_)
        | PipelineError::Refused(_)
        | PipelineError::Conflict(_)
        | PipelineError::Workflow(_)
        | PipelineError::Moved
        | PipelineError::Invalid => true,
        PipelineError::LoggedOut
        | PipelineError::RateLimited(_)
        | PipelineError::Unavailable
        | PipelineError::Unclear
        | PipelineError::RunUnknown => false,
    }
}

fn moment(at: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
