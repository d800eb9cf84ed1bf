//! Finding runs in the file, and saying how they stand.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::chain::canonical;
use crate::error::{Damage, LookupError};
use crate::holder::is_alive;
use crate::id;
use crate::model::{Ending, JournalEntry, NewRun, Run, RunSummary, Status};
use crate::rows::{self, Head};
use crate::witness::Witness;

/// The member of a run's first entry that pins its workflow file.
pub(crate) const WORKFLOW_DIGEST: &str = "workflow_digest";

/// The run whose id is `asked`, or the only one whose id begins with it.
pub(crate) fn find(
    connection: &Connection,
    asked: &str,
    witness: &Witness,
) -> rusqlite::Result<Result<Head, LookupError>> {
    let id = id::normal(asked);
    if let Some(head) = rows::head_of(connection, &id)? {
        return Ok(Ok(head));
    }
    let mut statement = connection.prepare_cached(
        "SELECT id FROM runs WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id LIMIT 10",
    )?;
    let candidates: Vec<String> = statement
        .query_map([&id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let unknown = || match witness.all().into_iter().find(|seen| seen.run == id) {
        Some(seen) => LookupError::Damaged(seen.damage(1)),
        None => LookupError::Unknown {
            asked: asked.to_owned(),
        },
    };
    match candidates.as_slice() {
        [only] if !id.is_empty() => Ok(rows::head_of(connection, only)?.ok_or_else(unknown)),
        [_, ..] if !id.is_empty() => Ok(Err(LookupError::Ambiguous {
            asked: asked.to_owned(),
            candidates,
        })),
        _ => Ok(Err(unknown())),
    }
}

/// The runs that were on disk and of which nothing is left.
pub(crate) fn lost(heads: &[Head], witness: &Witness) -> Vec<Damage> {
    let seen = witness.all().into_iter();
    seen.filter(|seen| heads.iter().all(|head| head.id != seen.run))
        .map(|seen| seen.damage(1))
        .collect()
}

/// A run from its first entry and, if it has ended, the one that says how.
pub(crate) fn describe(
    connection: &Connection,
    head: &Head,
) -> rusqlite::Result<Result<Run, Damage>> {
    let damage = |first_bad: u64, what: &str| {
        Ok(Err(Damage {
            run: head.id.clone(),
            first_bad,
            what: what.to_owned(),
        }))
    };
    let (entries, wrong) = rows::load_up_to(connection, head, 1)?;
    let Some(first) = entries.first() else {
        return match wrong {
            Some(wrong) => Ok(Err(wrong)),
            None => damage(1, "it is missing"),
        };
    };
    let Ok(mut beginning) = serde_json::from_value::<NewRun>(first.facts.clone()) else {
        return damage(1, "it does not say what the run began with");
    };
    let pinned = first.facts.get(WORKFLOW_DIGEST).and_then(Value::as_str);
    match source(connection, pinned.unwrap_or_default()) {
        Ok(Some(text)) => beginning.workflow_source = text,
        Ok(None) => return damage(1, "the workflow's text is missing"),
        Err(error) if rows::is_damage(&error) => return damage(1, &error.to_string()),
        Err(error) => return Err(error),
    }
    if pinned != Some(&beginning.workflow_digest()) {
        return damage(1, "the workflow's text is not the one that was recorded");
    }
    let ended = match ended(connection, head)? {
        Ok(ended) => ended,
        Err(damage) => return Ok(Err(damage)),
    };
    let alive = |holder| is_alive(holder, head.heartbeat);
    let status = match &ended {
        _ if let Some(status) = undone(connection, &head.id)? => status,
        Some(ended) => Status::from(ended.ending),
        None if head.holder.as_ref().is_some_and(alive) => Status::Running,
        None => Status::Interrupted,
    };
    let (ended_at, outcome) = ended.map(|ended| (ended.at, ended.outcome)).unzip();
    Ok(Ok(Run {
        summary: RunSummary {
            id: head.id.clone(),
            status,
            workflow: beginning.workflow.clone(),
            title: beginning.title.clone(),
            actor: beginning.actor.clone(),
            target: beginning.target.clone(),
            mode: beginning.mode,
            parent: beginning.parent.clone(),
            started_at: beginning.started_at,
            ended_at,
            outcome,
            entries: head.seq,
            holder: head.holder.clone(),
        },
        beginning,
    }))
}

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) ending: Ending,
    at: OffsetDateTime,
    outcome: Value,
}

/// How a run ended, if it has.
pub(crate) fn ended(
    connection: &Connection,
    head: &Head,
) -> rusqlite::Result<Result<Option<Ended>, Damage>> {
    let Some(seq) = head.ended_seq else {
        return Ok(Ok(None));
    };
    let read = match rows::facts_value_time(connection, head, seq) {
        Err(error) if !rows::is_damage(&error) => return Err(error),
        read => read.ok().flatten(),
    };
    let parsed = read.and_then(|(facts, value, time)| {
        let facts: Value = serde_json::from_str(&facts).ok()?;
        Some(Ended {
            ending: serde_json::from_value(facts.get("status")?.clone()).ok()?,
            at: OffsetDateTime::parse(&time, &Rfc3339).ok()?,
            outcome: serde_json::from_str(&value).ok()?,
        })
    });
    Ok(match parsed {
        Some(ended) => Ok(Some(ended)),
        None => Err(Damage {
            run: head.id.clone(),
            first_bad: seq,
            what: "it does not say how the run ended".to_owned(),
        }),
    })
}

fn source(connection: &Connection, digest: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT text FROM sources WHERE digest = ?1")?
        .query_row([digest], |row| row.get(0))
        .optional()
}

/// Whether run `id` has been taken back, or a part of it.
pub(crate) fn undone(connection: &Connection, id: &str) -> rusqlite::Result<Option<Status>> {
    let mut statement = connection.prepare_cached(
        "SELECT EXISTS (
           SELECT 1 FROM runs JOIN entries ON key = (number << 32 | ended_seq)
           WHERE undoes = ?1 AND facts = ?2)",
    )?;
    let mut has_ended = |ending| {
        let facts = canonical(&ended_facts(ending));
        statement.query_row(params![id, facts], |row| row.get::<_, bool>(0))
    };
    Ok(if has_ended(Ending::Succeeded)? {
        Some(Status::Undone)
    } else if has_ended(Ending::Partly)? {
        Some(Status::PartlyUndone)
    } else {
        None
    })
}

/// The facts of the entry that ends a run.
pub(crate) fn ended_facts(ending: Ending) -> Value {
    json!({ "status": ending })
}

/// A run's entries, if nothing of it is damaged.
pub(crate) fn verify(
    connection: &Connection,
    head: &Head,
    witness: &Witness,
) -> rusqlite::Result<Result<Vec<JournalEntry>, Damage>> {
    let (entries, damage) = rows::load(connection, head, witness)?;
    if let Some(damage) = damage {
        return Ok(Err(damage));
    }
    let last = |kind: &str| {
        let mut own = entries
            .iter()
            .rev()
            .filter(|entry| entry.position.is_none());
        own.find(|entry| entry.kind == kind).map(|entry| entry.seq)
    };
    let ended = last(rows::ENDED).filter(|seq| Some(*seq) > last(rows::ACQUIRED));
    if ended != head.ended_seq {
        return Ok(Err(Damage {
            run: head.id.clone(),
            first_bad: ended.or(head.ended_seq).unwrap_or(head.seq),
            what: "the run's row and its entries disagree on whether it has ended".to_owned(),
        }));
    }
    let mut positions: HashMap<&str, u64> = HashMap::new();
    for entry in &entries {
        let Some(position) = entry.position else {
            continue;
        };
        let last = positions.entry(&entry.address).or_default();
        *last += 1;
        if position != *last {
            return Ok(Err(Damage {
                run: head.id.clone(),
                first_bad: entry.seq,
                what: format!("it has position {position} where {last} is due"),
            }));
        }
    }
    Ok(describe(connection, head)?.map(|_| entries))
}
