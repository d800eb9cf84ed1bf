//! Jobs (reference/databricks.md, section 12). State: the [`Job`].

use async_trait::async_trait;
use lockkeeper_cloud::{Failure, Sent};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use super::job_settings::{JobSettings, own_task, tags};
use super::{get, host, post, text, workspace_id};
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, Read, Write};
use crate::operations::{state, wire};

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(super) id: String,
    pub(super) settings: JobSettings,
    pub(super) run_as_user_name: String,
    pub(super) url: String,
}

/// The tag that tells which call created a job.
const CALL_TAG: &str = "lockkeeper_call";

/// A job's or run's number, which its URL and requests need.
pub(super) fn number(operation: &str, id: &str) -> Result<i64, Failure> {
    id.parse()
        .map_err(|_| wire::invalid(operation, "the id is not a decimal number"))
}

async fn url(context: &Context<'_>, operation: &'static str, id: &str) -> Result<String, Failure> {
    let host = host(context, operation)?;
    let workspace = workspace_id(context, operation).await?;
    let workspace = workspace.map(|id| format!("?o={id}")).unwrap_or_default();
    Ok(format!("https://{host}/{workspace}#job/{id}"))
}

/// The job with this id as the service shows it.
pub(super) async fn fetch(
    context: &Context<'_>,
    operation: &'static str,
    id: &str,
) -> Result<Option<Value>, Failure> {
    number(operation, id)?;
    let request = get(operation, "/api/2.2/jobs/get")?.query("job_id", id);
    Ok(wire::if_there(context.cloud.send(&request).await)?.map(|reply| reply.body))
}

/// The job with this id; `tag` is the key of the tag that a step owns.
pub(super) async fn by_id(
    context: &Context<'_>,
    operation: &'static str,
    id: &str,
    tag: &str,
) -> Result<Option<Job>, Failure> {
    let Some(job) = fetch(context, operation, id).await? else {
        return Ok(None);
    };
    Ok(Some(Job {
        settings: JobSettings::from_wire(&job, tag),
        run_as_user_name: text(&job, "run_as_user_name").unwrap_or_default(),
        url: url(context, operation, id).await?,
        id: id.to_owned(),
    }))
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    jobs: Vec<Listed>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) job_id: i64,
    #[serde(default)]
    created_time: i64,
    #[serde(default)]
    settings: Value,
}

impl Listed {
    fn has(&self, name: &str, tag: &(String, String)) -> bool {
        self.settings.get("name").and_then(Value::as_str) == Some(name)
            && self.tag(&tag.0) == Some(&tag.1)
    }

    fn tag(&self, key: &str) -> Option<&str> {
        self.settings.get("tags")?.get(key)?.as_str()
    }
}

/// All jobs with this name and this tag, the oldest first.
pub(super) async fn all(
    context: &Context<'_>,
    operation: &'static str,
    name: &str,
    tag: &(String, String),
) -> Result<Vec<Listed>, Failure> {
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut request = get(operation, "/api/2.2/jobs/list")?
            .query("limit", "100")
            .query("name", name);
        if let Some(token) = &token {
            request = request.query("page_token", token);
        }
        let page: Page = wire::read(operation, &context.cloud.send(&request).await?.body)?;
        found.extend(page.jobs.into_iter().filter(|job| job.has(name, tag)));
        match page.next_page_token {
            Some(next) if !next.is_empty() => token = Some(next),
            _ => break,
        }
    }
    found.sort_by_key(|job| (job.created_time, job.job_id));
    Ok(found)
}

async fn oldest(
    context: &Context<'_>,
    operation: &'static str,
    name: &str,
    tag: &(String, String),
) -> Result<Option<Job>, Failure> {
    match all(context, operation, name, tag).await?.first() {
        Some(job) => by_id(context, operation, &job.job_id.to_string(), &tag.0).await,
        None => Ok(None),
    }
}

pub(super) fn object(name: &str, tag: &(String, String)) -> Object {
    Object::new("job", format!("{name}|{}={}", tag.0, tag.1)).named(name)
}

/// The oldest job that has this name and this tag, if there is one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    name: String,
    tag: (String, String),
}

#[async_trait]
impl Read for Find {
    const NAME: &'static str = "databricks/jobs.find";
    type Output = Option<Job>;

    fn object(&self) -> Object {
        object(&self.name, &self.tag)
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        oldest(context, Self::NAME, &self.name, &self.tag).await
    }

    fn planned(
        &self,
        state: Option<&Value>,
        _: &Placeholders<'_>,
    ) -> Result<Self::Output, Failure> {
        // A job that was released is there, and not found any more.
        let ours = |job: &Job| job.settings.name == self.name && job.settings.tag == self.tag;
        Ok(state::read(state).filter(ours))
    }

    fn observed(&self, output: &Self::Output) -> Option<Observed> {
        Some(state::of(output))
    }
}

/// Creates a job with one notebook task. A further tag says which call did.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    settings: JobSettings,
}

#[async_trait]
impl Write for Create {
    const NAME: &'static str = "databricks/jobs.create";
    const CLASS: Class = Class::Create;
    type Output = Job;

    fn object(&self) -> Object {
        object(&self.settings.name, &self.settings.tag)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        let JobSettings { name, tag, .. } = &self.settings;
        Ok(state::of(&oldest(context, Self::NAME, name, tag).await?))
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        let mut tags = Map::new();
        tags.insert(CALL_TAG.to_owned(), wire::token(context.mark).into());
        let mut body = self.settings.to_wire(tags, None);
        if let Some(fields) = body.as_object_mut() {
            fields.insert("max_concurrent_runs".to_owned(), json!(1));
            // A second run waits instead of being skipped.
            fields.insert("queue".to_owned(), json!({ "enabled": true }));
        }
        let reply = context
            .cloud
            .send(&post(Self::NAME, "/api/2.2/jobs/create", body)?)
            .await?;
        let id = text(&reply.body, "job_id")
            .ok_or_else(|| wire::unexpected(Self::NAME, "it holds no job_id"))?;
        // The job is there, so a failure to read it back must not look as if it were not.
        let unread = |failure| Failure {
            sent: Sent::MaybeHandled,
            ..failure
        };
        by_id(context, Self::NAME, &id, &self.settings.tag.0)
            .await
            .map_err(unread)?
            .ok_or_else(|| wire::unexpected(Self::NAME, "the new job is not shown yet"))
    }

    async fn find(&self, context: &Context<'_>) -> Result<Option<Self::Output>, Failure> {
        let JobSettings { name, tag, .. } = &self.settings;
        let token = wire::token(context.mark);
        let jobs = all(context, Self::NAME, name, tag).await?;
        match jobs.iter().find(|job| job.tag(CALL_TAG) == Some(&token)) {
            Some(job) => by_id(context, Self::NAME, &job.job_id.to_string(), &tag.0).await,
            None => Ok(None),
        }
    }

    fn preview(&self, _: Option<&Value>, placeholders: &Placeholders<'_>) -> Self::Output {
        Job {
            id: placeholders.make("job_id"),
            settings: self.settings.normal(),
            run_as_user_name: self.settings.run_as.clone(),
            url: placeholders.make("job_url"),
        }
    }

    fn after(&self, before: Option<&Value>, output: &Self::Output) -> Option<Value> {
        // The oldest job is the one that is found.
        before.cloned().or_else(|| state::of(output))
    }

    fn inverse(&self, _: Option<&Value>, output: &Self::Output) -> Inverse {
        Inverse::of(&Delete {
            id: output.id.clone(),
            name: self.settings.name.clone(),
            tag: self.settings.tag.clone(),
        })
    }
}

/// Puts the owned fields of a job to these settings; its other fields and tags stay.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Update {
    id: String,
    settings: JobSettings,
}

#[async_trait]
impl Write for Update {
    const NAME: &'static str = "databricks/jobs.update";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.settings.name, &self.settings.tag)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &by_id(context, Self::NAME, &self.id, &self.settings.tag.0).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let job = fetch(context, Self::NAME, &self.id)
            .await?
            .ok_or_else(|| wire::not_there(Self::NAME, &format!("job {}", self.id)))?;
        let body = json!({
            "job_id": number(Self::NAME, &self.id)?,
            "new_settings": self.settings.to_wire(tags(&job), own_task(&job)),
        });
        let request = post(Self::NAME, "/api/2.2/jobs/update", body)?.idempotent(true);
        context.cloud.send(&request).await?;
        Ok(())
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        let before: Job = state::read(before)?;
        state::of(&Job {
            settings: self.settings.normal(),
            run_as_user_name: self.settings.run_as.clone(),
            ..before
        })
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        match state::read::<Job>(before) {
            Some(job) if job.settings != self.settings.normal() => Inverse::of(&Self {
                id: self.id.clone(),
                settings: job.settings,
            }),
            _ => Inverse::Nothing,
        }
    }
}

/// Deletes a job; one that is gone is no error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    id: String,
    name: String,
    tag: (String, String),
}

#[async_trait]
impl Write for Delete {
    const NAME: &'static str = "databricks/jobs.delete";
    const CLASS: Class = Class::Delete;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.name, &self.tag)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &oldest(context, Self::NAME, &self.name, &self.tag).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let body = json!({ "job_id": number(Self::NAME, &self.id)? });
        let request = post(Self::NAME, "/api/2.2/jobs/delete", body)?.idempotent(true);
        wire::gone(context.cloud.send(&request).await)
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        let job: Job = state::read(before)?;
        // An older one of the same name and tag stays.
        if job.id == self.id {
            None
        } else {
            before.cloned()
        }
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        match state::read::<Job>(before) {
            Some(job) if job.id == self.id => Inverse::Impossible(
                "a new job would have another id, and not the runs of the old one",
            ),
            _ => Inverse::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::databricks::job_settings::{Compute, example};
    use crate::operations::testing::{PLACEHOLDERS, name, taken_back};

    fn create() -> Create {
        Create {
            settings: example(),
        }
    }

    fn job(id: &str) -> Job {
        Job {
            id: id.to_owned(),
            ..create().preview(None, &PLACEHOLDERS)
        }
    }

    #[test]
    fn a_created_job_is_deleted_also_beside_an_older_one() {
        assert_eq!(
            name(&taken_back(&create(), None, &job("2"))),
            Some(Delete::NAME)
        );
        let older = state::of(&job("1"));
        assert_eq!(
            name(&taken_back(&create(), older.as_ref(), &job("2"))),
            Some(Delete::NAME)
        );
    }

    #[test]
    fn the_old_settings_are_put_back() {
        let before = create().after(None, &job("1"));
        let settings = JobSettings {
            notebook_path: "/Shared/y".to_owned(),
            run_as: "a-2".to_owned(),
            compute: Compute::Serverless,
            ..example()
        };
        let update = Update {
            id: "1".to_owned(),
            settings,
        };
        assert_eq!(
            name(&taken_back(&update, before.as_ref(), &())),
            Some(Update::NAME)
        );
        let same = Update {
            id: "1".to_owned(),
            settings: example(),
        };
        assert_eq!(taken_back(&same, before.as_ref(), &()), Inverse::Nothing);
    }

    #[test]
    fn a_plan_finds_what_it_creates_and_updates() {
        let find = Find {
            name: "nightly".to_owned(),
            tag: example().tag,
        };
        assert_eq!(find.object(), create().object());
        let created = create().after(None, &create().preview(None, &PLACEHOLDERS));
        let settings = JobSettings {
            run_as: "a-2".to_owned(),
            ..example()
        };
        let update = Update {
            id: PLACEHOLDERS.make("job_id"),
            settings,
        };
        let updated = update.after(created.as_ref(), &());
        let found = find
            .planned(updated.as_ref(), &PLACEHOLDERS)
            .unwrap()
            .unwrap();
        assert_eq!(found.run_as_user_name, "a-2");
        assert_eq!(found.id, PLACEHOLDERS.make("job_id"));
    }

    #[test]
    fn a_job_is_found_by_its_exact_name_and_tag() {
        let listed: Listed = serde_json::from_value(json!({
            "job_id": 9_007_199_254_740_993_i64,
            "settings": { "name": "nightly", "tags": { "lockkeeper": "demo" } },
        }))
        .unwrap();
        let tag = example().tag;
        assert!(listed.has("nightly", &tag));
        assert!(!listed.has("Nightly", &tag));
        assert!(!listed.has("nightly", &(tag.0, "other".to_owned())));
        assert_eq!(listed.job_id.to_string(), "9007199254740993");
    }
}
