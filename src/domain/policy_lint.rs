//! What is looked for in policies beyond what Cedar checks.
//!
//! Of a local process some things are known only when all goes well: not the unit, say, of one that
//! has just ended; and a reason is there only where somebody gave one. Not to be known must never
//! get anybody more: a `permit` may ask that something is known, and a `forbid` may only let those
//! pass of whom it is.

use cedar_policy::Policy;
use cedar_policy::pst::{
    BinaryOp, Clause, Effect, EntityOrSlot, EntityUID, Expr, Literal, PrincipalConstraint, UnaryOp,
    Var,
};

use crate::domain::group::Groups;

/// The attributes of a `UnixPeer` that are not always known.
const UNCERTAIN: [&str; 7] = [
    "groups",
    "executable",
    "executable_sha256",
    "unit",
    "slice",
    "container",
    "pod",
];

/// What the context does not always have, and whoever asks may leave out.
const REASON: &str = "reason";

/// What `policy` asks in such a way that not to be known gets more, and what to do.
pub(in crate::domain) fn open_to_unknown(
    policy: &Policy,
    groups: &Groups,
) -> Option<(String, String)> {
    let Ok(tree) = policy.to_pst() else {
        return Some((String::new(), "this policy cannot be examined".to_owned()));
    };
    let body = tree.body();
    let permits = body.effect == Effect::Permit;
    let scope = match &body.principal {
        PrincipalConstraint::In(EntityOrSlot::Entity(group))
        | PrincipalConstraint::IsIn(_, EntityOrSlot::Entity(group)) => membership(group, groups),
        PrincipalConstraint::Any
        | PrincipalConstraint::Eq(_)
        | PrincipalConstraint::Is(_)
        | PrincipalConstraint::In(EntityOrSlot::Slot(_))
        | PrincipalConstraint::IsIn(_, EntityOrSlot::Slot(_)) => None,
    };
    let asked = scope.filter(|_| !permits).or_else(|| {
        body.clauses().iter().find_map(|clause| match clause {
            Clause::When(condition) => asked_wrongly(condition, permits, groups),
            Clause::Unless(condition) => asked_wrongly(condition, !permits, groups),
        })
    })?;
    let (applies, round) = if permits {
        ("applies", "permit (…) when")
    } else {
        ("does not apply", "forbid (…) unless")
    };
    let problem = format!(
        "whether {asked} is not always known, and this policy {applies} where it is not; turn it \
         round: {round} {{ {asked} && … }}"
    );
    Some((asked, problem))
}

/// What `condition` asks, though it is not `fine` that the answer is "no" for the unknown.
fn asked_wrongly(condition: &Expr, fine: bool, groups: &Groups) -> Option<String> {
    if let Expr::UnaryOp { op, expr } = condition
        && *op == UnaryOp::Not
    {
        return asked_wrongly(expr, !fine, groups);
    }
    if let Expr::BinaryOp { op, left, right } = condition
        && matches!(op, BinaryOp::And | BinaryOp::Or)
    {
        let left = asked_wrongly(left, fine, groups);
        return left.or_else(|| asked_wrongly(right, fine, groups));
    }
    if fine && is_plain(condition) {
        return None;
    }
    // Whatever else it is, it may turn the answer round.
    condition.reduce(&|part| asked(part, groups).map(Some), &Option::or, None)
}

/// What `part` itself asks, if the answer is not always known.
fn asked(part: &Expr, groups: &Groups) -> Option<String> {
    if let Expr::HasAttr { attrs, .. } = part {
        let name = attrs.first().as_str();
        if name == REASON {
            return Some(format!("context has {name}"));
        }
        let uncertain = UNCERTAIN.contains(&name);
        return uncertain.then(|| format!("principal has {name}"));
    }
    if let Expr::Literal(Literal::EntityUID(uid)) = part {
        return membership(uid, groups);
    }
    None
}

fn membership(uid: &EntityUID, groups: &Groups) -> Option<String> {
    let uncertain = uid.ty.0.id.as_str() == "Group" && groups.is_uncertain(&uid.eid);
    uncertain.then(|| format!("principal in Group::{:?}", uid.eid))
}

/// Whether it is one question about the principal or context, such as `principal has unit`.
fn is_plain(condition: &Expr) -> bool {
    let literal = |expr: &Expr| matches!(expr, Expr::Literal(_));
    let named = |expr: &Expr| {
        let set = if let Expr::Set(set) = expr {
            set
        } else {
            &vec![]
        };
        literal(expr) || (!set.is_empty() && set.iter().all(|one| literal(one)))
    };
    let principal = |expr: &Expr| matches!(expr, Expr::Var(Var::Principal));
    if let Expr::HasAttr { expr, .. } = condition {
        matches!(**expr, Expr::Var(Var::Principal | Var::Context))
    } else if let Expr::Is { expr, in_expr, .. } = condition {
        principal(expr) && in_expr.as_ref().is_none_or(|group| named(group))
    } else if let Expr::BinaryOp { op, left, right } = condition {
        *op == BinaryOp::In && principal(left) && named(right)
    } else {
        false
    }
}

/// Whether `policy` speaks of the SHA-256 of executables.
pub(in crate::domain) fn speaks_of_hashes(policy: &Policy) -> bool {
    let found = gather(policy, &|part| {
        let Expr::HasAttr { attrs, .. } = part else {
            return None;
        };
        Some(vec![attrs.first().to_string()])
    });
    found.iter().any(|name| name == "executable_sha256")
}

/// Whether `policy` looks at `name` in the context, or at all of it.
pub(in crate::domain) fn speaks_of(policy: &Policy, name: &str) -> bool {
    let context = |expr: &Expr| matches!(expr, Expr::Var(Var::Context));
    let found = gather(policy, &|part| {
        if let Expr::GetAttr { expr, attr } = part
            && context(expr)
        {
            return Some(vec![attr.to_string()]);
        }
        if let Expr::HasAttr { expr, attrs } = part
            && context(expr)
        {
            return Some(vec![attrs.first().to_string()]);
        }
        context(part).then(|| vec![name.to_owned()])
    });
    found.iter().any(|it| it == name) || policy.to_pst().is_err()
}

/// What `policy` compares `name` with, in the context or of the principal: a socket's name, say.
pub(in crate::domain) fn compared(policy: &Policy, name: &str) -> Vec<String> {
    gather(policy, &|part| {
        let Expr::BinaryOp { left, right, .. } = part else {
            return None;
        };
        let sides = [left, right];
        let compared = sides.iter().any(|side| is_attribute(side, name));
        compared.then(|| sides.iter().flat_map(|side| strings(side)).collect())
    })
}

fn is_attribute(expr: &Expr, name: &str) -> bool {
    let Expr::GetAttr { expr, attr } = expr else {
        return false;
    };
    attr == name && matches!(**expr, Expr::Var(Var::Context | Var::Principal))
}

fn strings(expr: &Expr) -> Vec<String> {
    let string = |part: &Expr| {
        let Expr::Literal(Literal::String(text)) = part else {
            return None;
        };
        Some(vec![text.to_string()])
    };
    expr.reduce(&string, &join, vec![])
}

/// What `find` finds in the conditions of `policy`.
fn gather(policy: &Policy, find: &dyn Fn(&Expr) -> Option<Vec<String>>) -> Vec<String> {
    let Ok(tree) = policy.to_pst() else {
        return vec![];
    };
    let clauses = tree.body().clauses().iter();
    let found = clauses.flat_map(|clause| match clause {
        Clause::When(condition) | Clause::Unless(condition) => {
            condition.reduce(find, &join, vec![])
        }
    });
    found.collect()
}

fn join(mut one: Vec<String>, other: Vec<String>) -> Vec<String> {
    one.extend(other);
    one
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy_load::SCHEMA;

    #[test]
    fn every_optional_attribute_of_a_peer_is_uncertain() {
        let (_, peer) = SCHEMA.split_once("entity UnixPeer").unwrap();
        let (peer, _) = peer.split_once("};").unwrap();
        let lines = peer.lines().map(str::trim);
        let optional = lines.filter_map(|line| Some(line.split_once("?:")?.0));
        assert_eq!(optional.collect::<Vec<_>>(), UNCERTAIN);
    }
}
