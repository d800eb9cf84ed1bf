//! `/__simulator`: what a test or the operator asks of the simulator itself.

use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::{
    World,
    entra::Issuer,
    faults::{Action, Chaos, Fault},
    wire::{Incoming, Reply},
};

/// Members of the state that hold a secret, sealed or hashed (see `Sealed` and `Hashed`).
const SECRET: [&str; 2] = ["sealed", "sha256"];

pub(crate) fn handle(world: &World, incoming: &Incoming) -> Reply {
    let segments = incoming.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).skip(1).collect();
    match (&incoming.method, segments.as_slice()) {
        (&Method::GET, ["requests"]) => Reply::json(200, &json!(world.requests())),
        (&Method::GET, ["state"]) => {
            let mut state = world.read(|state| json!(state));
            redact(&mut state);
            Reply::json(200, &state)
        }
        (&Method::GET, ["faults"]) => {
            let faults: Vec<Value> = world
                .faults()
                .list()
                .into_iter()
                .map(|(id, fault)| json!({"id": id, "fault": fault}))
                .collect();
            Reply::json(200, &json!(faults))
        }
        (&Method::POST, ["faults"]) => match serde_json::from_slice::<Fault>(&incoming.body) {
            Ok(Fault {
                action: Action::Kill { pid },
                ..
            }) if pid <= 1 => bad("the pid to kill must be above 1"),
            Ok(fault) => Reply::json(201, &json!({"id": world.add_fault(fault)})),
            Err(reason) => bad(&reason.to_string()),
        },
        (&Method::DELETE, ["faults"]) => {
            world.clear_faults();
            Reply::empty(204)
        }
        (&Method::DELETE, ["faults", id]) => {
            let removed = id.parse().is_ok_and(|id| world.faults().remove(id));
            Reply::empty(if removed { 204 } else { 404 })
        }
        (&Method::POST, ["chaos"]) => match serde_json::from_slice::<Chaos>(&incoming.body) {
            Ok(chaos) if (0.0..=1.0).contains(&chaos.rate) => {
                world.set_chaos(Some(chaos));
                Reply::empty(204)
            }
            Ok(_) => bad("the rate must be between 0 and 1"),
            Err(reason) => bad(&reason.to_string()),
        },
        (&Method::DELETE, ["chaos"]) => {
            world.set_chaos(None);
            Reply::empty(204)
        }
        (&Method::POST, ["issuers"]) => match serde_json::from_slice::<Issuer>(&incoming.body) {
            Ok(issuer) => {
                world.write(|state| {
                    state
                        .entra
                        .issuers
                        .retain(|known| known.issuer != issuer.issuer);
                    state.entra.issuers.push(issuer);
                });
                Reply::empty(204)
            }
            Err(reason) => bad(&reason.to_string()),
        },
        _ => Reply::json(404, &json!({"error": "the simulator has no such control"})),
    }
}

fn bad(reason: &str) -> Reply {
    Reply::json(400, &json!({"error": reason}))
}

/// Replaces secret members by a fixed word, so that states of two clouds can be compared.
fn redact(value: &mut Value) {
    match value {
        Value::Object(members) => redact_members(members),
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

fn redact_members(members: &mut Map<String, Value>) {
    for (name, value) in members {
        if value.is_string() && SECRET.contains(&name.as_str()) {
            *value = json!("(redacted)");
        } else {
            redact(value);
        }
    }
}
