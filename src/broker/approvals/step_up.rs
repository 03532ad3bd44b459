//! Codes of people's authenticators, which some votes must carry. Vault's TOTP engine checks them, and
//! takes none twice; how often somebody may try is ours to say.

use serde::{Deserialize, Serialize};

use super::change::By;
use crate::broker::ports::{CoordinationError, StoreError};
use crate::broker::{ApprovalError, Broker, BrokerError};
use crate::domain::Approval;
use crate::domain::approval::ApprovalStep;
use crate::domain::{Caller, Need, Person, SecretValue};

/// Tries within [`SPAN`].
const MAX_TRIES: usize = 5;
/// In seconds.
const SPAN: i64 = 5 * 60;

/// When somebody tried lately, in unix seconds.
#[derive(Default, Serialize, Deserialize)]
struct Tries(Vec<i64>);

fn tries_of(person: &Person) -> String {
    format!("codes/{person}")
}

impl Broker {
    /// Where the code of `caller` is to be checked, if their vote can use one.
    pub(in crate::broker) fn step_up_of(&self, need: &Need, caller: &Caller) -> Option<String> {
        let groups = self.rules.policy.groups();
        let person = groups.person(caller);
        let theirs: Vec<&str> = groups.of_person(&person).collect();
        need.step_up(&theirs).map(str::to_owned)
    }

    /// Checks the code that came with a vote; a try is counted before it is made.
    pub(in crate::broker) async fn check_code(
        &self,
        by: By<'_>,
        approval: &Approval,
        mount: &str,
        code: &SecretValue,
    ) -> Result<(), BrokerError> {
        let person = self.rules.policy.groups().person(by.caller);
        self.count_try(&person).await?;
        let checked = self.ports.store.check_code(mount, person.name(), code);
        match checked.await {
            // Whoever knows it does not guess.
            Ok(true) => {
                let coordination = &self.ports.coordination;
                Ok(coordination.delete(&tries_of(&person)).await?)
            }
            Ok(false) => {
                let record = approval.record(ApprovalStep::StepUpFailed);
                self.record_steps(by, approval, vec![record]).await?;
                tracing::warn!(
                    event = "broker.step_up_failed",
                    request = %by.id,
                    approval = %approval.id,
                    %person
                );
                Err(ApprovalError::WrongCode.into())
            }
            Err(StoreError::Rejected(_) | StoreError::NotFound | StoreError::Unsupported) => {
                tracing::warn!(
                    event = "broker.no_authenticator",
                    %person,
                    mount,
                    advice = "make a key of that name in Vault's TOTP engine"
                );
                Err(ApprovalError::NoAuthenticator(person.to_string()).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn count_try(&self, person: &Person) -> Result<(), BrokerError> {
        let (now, key) = (self.now().unix_timestamp(), tries_of(person));
        let coordination = &self.ports.coordination;
        loop {
            let before = coordination.get(&key).await?;
            let known = before.as_deref().map(serde_json::from_slice::<Tries>);
            let Tries(mut tries) = known.and_then(Result::ok).unwrap_or_default();
            tries.retain(|at| *at > now - SPAN);
            if tries.len() >= MAX_TRIES {
                return Err(ApprovalError::TooManyCodes.into());
            }
            tries.push(now);
            let new = serde_json::to_vec(&Tries(tries));
            let new = new.map_err(|error| CoordinationError(error.to_string()))?;
            if coordination
                .swap(&key, before.as_deref(), Some(&new))
                .await?
            {
                return Ok(());
            }
        }
    }
}
