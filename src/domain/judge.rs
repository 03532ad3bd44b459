//! What Cedar says of one request: yes, no, or what it would take.

use std::collections::BTreeMap;

use cedar_policy::{Authorizer, Entities, PolicyId, PolicySet, Response};

use crate::domain::memo::Answer;
use crate::domain::need::{Lift, Need, Way};
use crate::domain::policy::DenialReason;
use crate::domain::{Denial, Policy, Request, Terms};

impl Policy {
    /// What Cedar says.
    pub(in crate::domain) fn judge(&self, request: &Request) -> Answer {
        let Some((query, entities)) = self.question(request) else {
            return denied(DenialReason::EvaluationFailed, vec![]);
        };
        let response = match ask(&query, &self.policies, &entities) {
            Ok(response) => response,
            Err(response) => return self.failed(&response),
        };
        if response.decision() == cedar_policy::Decision::Allow {
            return self.allowed(&response, vec![]);
        }
        let mut lifts = vec![];
        for id in response.diagnostics().reason() {
            // What nothing lifts is final, and so is it where nothing allowed it.
            let Some(demand) = self.demands.get(id) else {
                return denied(DenialReason::Forbidden, self.names(&response));
            };
            lifts.push(Lift {
                policy: self.display_id(id),
                demand: demand.clone(),
            });
        }
        if lifts.is_empty() {
            return denied(DenialReason::NotPermitted, vec![]);
        }
        // Were these lifted, would anything let them in?
        match ask(&query, &self.lifted, &entities) {
            Ok(lifted) if lifted.decision() == cedar_policy::Decision::Allow => {
                self.allowed(&lifted, lifts)
            }
            Ok(_) => denied(DenialReason::Forbidden, self.names(&response)),
            Err(response) => self.failed(&response),
        }
    }

    /// What the `permit`s that match say: each is a way in of its own, and one that costs nothing
    /// is enough.
    fn allowed(&self, response: &Response, lifts: Vec<Lift>) -> Answer {
        let reason = response.diagnostics().reason();
        let ways: BTreeMap<String, &PolicyId> =
            reason.map(|id| (self.display_id(id), id)).collect();
        let free: Vec<_> = ways
            .iter()
            .filter(|(_, id)| !self.demands.contains_key(id))
            .collect();
        let terms = |id| self.terms.get(id);
        if !free.is_empty() && lifts.is_empty() {
            let policies = free.iter().map(|(name, _)| (*name).clone()).collect();
            let terms = free.iter().filter_map(|(_, id)| terms(id));
            let terms = Terms::all(terms);
            return Answer::Allow { policies, terms };
        }
        let ways = ways.iter().map(|(name, id)| Way {
            policy: name.clone(),
            demand: self.demands.get(id).cloned(),
            terms: terms(id).cloned().unwrap_or_default(),
        });
        match Need::new(ways.collect(), lifts) {
            Some(need) => Answer::Need(need),
            None => denied(DenialReason::EvaluationFailed, self.names(response)),
        }
    }

    fn failed(&self, response: &Response) -> Answer {
        denied(DenialReason::EvaluationFailed, self.names(response))
    }

    fn names(&self, response: &Response) -> Vec<String> {
        let reason = response.diagnostics().reason();
        let mut names: Vec<String> = reason.map(|id| self.display_id(id)).collect();
        names.sort();
        names
    }
}

fn denied(reason: DenialReason, policies: Vec<String>) -> Answer {
    Answer::Deny(Denial { reason, policies })
}

/// The error is the answer where a policy could not be evaluated: Cedar skips it, and skipping a
/// `forbid` would open the door.
fn ask(
    query: &cedar_policy::Request,
    policies: &PolicySet,
    entities: &Entities,
) -> Result<Response, Response> {
    let response = Authorizer::new().is_authorized(query, policies, entities);
    if response.diagnostics().errors().next().is_some() {
        return Err(response);
    }
    Ok(response)
}
