//! Microsoft Graph v1.0: applications, service principals and what surrounds them (reference,
//! section 2).

mod applications;
mod caller;
mod directory;
mod error;
mod federated;
mod odata;
mod owners;
mod passwords;
mod principals;
mod roles;

use axum::http::Method;
use serde_json::{Value, json};

use self::{
    caller::Caller,
    error::GraphError,
    odata::{Key, Target},
};
use crate::{
    State, World,
    wire::{Incoming, Reply},
};

type Answer = Result<Reply, GraphError>;

/// A request by a known caller.
struct Request<'a> {
    world: &'a World,
    incoming: &'a Incoming,
    caller: Caller,
}

/// Answers a request to Graph.
pub(crate) fn handle(world: &World, incoming: &Incoming) -> Reply {
    let answer = world
        .read(|state| Caller::of(world, state, incoming))
        .and_then(|caller| {
            let request = Request {
                world,
                incoming,
                caller,
            };
            let target = odata::target(&incoming.segments())?;
            if incoming.method == Method::GET {
                world.read(|state| request.get(state, &target))
            } else {
                world.write(|state| request.change(state, &target))
            }
        });
    headed(
        incoming,
        answer.unwrap_or_else(|error| error.reply(world, incoming)),
    )
}

/// A refusal with this status that has no cause in the request.
pub(crate) fn failing(world: &World, incoming: &Incoming, status: u16) -> Reply {
    error::failing(status).reply(world, incoming)
}

/// The reply with the headers of every reply.
pub(crate) fn headed(incoming: &Incoming, reply: Reply) -> Reply {
    let reply = reply
        .with("request-id", incoming.request_id.clone())
        .with(
            "x-ms-ags-diagnostic",
            "{\"ServerInfo\":{\"DataCenter\":\"Simulator\"}}",
        )
        .with("odata-version", "4.0");
    match incoming.header("client-request-id") {
        Some(id) => reply.with("client-request-id", id.to_owned()),
        None => reply.with("client-request-id", incoming.request_id.clone()),
    }
}

impl Request<'_> {
    fn get(&self, state: &State, target: &Target) -> Answer {
        let rest: Vec<&str> = target.rest.iter().map(String::as_str).collect();
        match (target.collection.as_str(), &target.key, rest.as_slice()) {
            ("applications", None, []) => applications::list(self, state),
            ("applications", Some(key), []) => applications::get(self, state, key),
            ("applications", Some(key), ["owners"]) => owners::of_application(self, state, key),
            ("applications", Some(key), ["federatedIdentityCredentials", rest @ ..]) => {
                federated::get(self, state, key, rest)
            }
            ("servicePrincipals", None, []) => principals::list(self, state),
            ("servicePrincipals", Some(key), []) => principals::get(self, state, key),
            ("servicePrincipals", Some(key), ["owners"]) => owners::of_principal(self, state, key),
            ("servicePrincipals", Some(key), ["ownedObjects", ..]) => {
                owners::owned_objects(self, state, key, rest.get(1).copied())
            }
            ("servicePrincipals", Some(key), ["appRoleAssignedTo"]) => {
                roles::list(self, state, key, roles::Side::Resource)
            }
            ("servicePrincipals", Some(key), ["appRoleAssignments"]) => {
                roles::list(self, state, key, roles::Side::Client)
            }
            ("directory", Some(Key::Id(id)), rest) if id == "deletedItems" => {
                directory::get_deleted(self, state, rest)
            }
            ("users", None, []) => directory::users(self, state),
            ("users", Some(Key::Id(id)), []) => directory::user(self, state, id),
            ("me", None, []) => directory::me(self, state),
            ("organization", _, _) => Ok(directory::organization(self, state)),
            _ => Err(error::no_segment(target)),
        }
    }

    fn change(&self, state: &mut State, target: &Target) -> Answer {
        let rest: Vec<&str> = target.rest.iter().map(String::as_str).collect();
        let method = self.incoming.method.as_str();
        match (
            method,
            target.collection.as_str(),
            &target.key,
            rest.as_slice(),
        ) {
            ("POST", "applications", None, []) => applications::create(self, state),
            ("PATCH", "applications", Some(key), []) => applications::patch(self, state, key),
            ("DELETE", "applications", Some(key), []) => applications::delete(self, state, key),
            ("POST", "applications" | "servicePrincipals", Some(key), ["addPassword"]) => {
                passwords::add(self, state, &target.collection, key)
            }
            ("POST", "applications" | "servicePrincipals", Some(key), ["removePassword"]) => {
                passwords::remove(self, state, &target.collection, key)
            }
            ("POST", "applications", Some(key), ["owners", "$ref"]) => {
                owners::add_to_application(self, state, key)
            }
            ("DELETE", "applications", Some(key), ["owners", oid, "$ref"]) => {
                owners::remove_from_application(self, state, key, oid)
            }
            ("POST", "servicePrincipals", Some(key), ["owners", "$ref"]) => {
                owners::add_to_principal(self, state, key)
            }
            (_, "applications", Some(key), [part, rest @ ..])
                if part.starts_with("federatedIdentityCredentials") =>
            {
                federated::change(self, state, key, part, rest)
            }
            ("POST", "servicePrincipals", None, []) => principals::create(self, state),
            ("PATCH", "servicePrincipals", Some(key), []) => principals::patch(self, state, key),
            ("DELETE", "servicePrincipals", Some(key), []) => principals::delete(self, state, key),
            (
                "POST",
                "servicePrincipals",
                Some(key),
                ["appRoleAssignedTo" | "appRoleAssignments"],
            ) => roles::grant(self, state, key),
            (
                "DELETE",
                "servicePrincipals",
                Some(key),
                ["appRoleAssignedTo" | "appRoleAssignments", id],
            ) => roles::revoke(self, state, key, id),
            ("POST", "directory", Some(Key::Id(id)), [item, "restore"]) if id == "deletedItems" => {
                directory::restore(self, state, item)
            }
            ("DELETE", "directory", Some(Key::Id(id)), [item]) if id == "deletedItems" => {
                directory::purge(self, state, item)
            }
            _ => Err(error::no_segment(target)),
        }
    }

    fn body(&self) -> Result<Value, GraphError> {
        self.incoming.json().ok_or_else(|| {
            error::bad_request("Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
        })
    }

    /// Whether the client asked for create-or-update.
    fn creates_if_missing(&self) -> bool {
        self.incoming
            .header("prefer")
            .is_some_and(|prefer| prefer.to_ascii_lowercase().contains("create-if-missing"))
    }

    /// One object, reduced to what `$select` names.
    fn one(&self, status: u16, context: &str, object: Value) -> Reply {
        let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
        let id = id.to_owned();
        let mut object = odata::select(object, self.incoming.query("$select").as_deref());
        if let Some(members) = object.as_object_mut() {
            members.shift_insert(
                0,
                "@odata.context".to_owned(),
                json!(format!(
                    "https://graph.microsoft.com/v1.0/$metadata#{context}/$entity"
                )),
            );
        }
        let reply = Reply::json(status, &object);
        if status == 201 {
            let kind = match context {
                "applications" => "/Microsoft.DirectoryServices.Application",
                "servicePrincipals" => "/Microsoft.DirectoryServices.ServicePrincipal",
                _ => "",
            };
            return reply.with(
                "location",
                format!("https://graph.microsoft.com/v2/directoryObjects/{id}{kind}"),
            );
        }
        reply
    }
}
