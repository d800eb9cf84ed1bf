//! Jobs that were made elsewhere: read by their id, and given the name and the tag by which the
//! others find them (reference/databricks.md, section 12). State: the [`Job`], by its id.

use async_trait::async_trait;
use lockkeeper_cloud::{Class as FailureClass, Failure};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::job_settings::{tags, tasks};
use super::jobs::{Job, all, by_id, fetch, number, object};
use super::post;
use crate::definition::own_failure;
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, ReadState, Write};
use crate::operations::{state, wire};

const UPDATE: &str = "/api/2.2/jobs/update";

/// The name and the tag's value of a job, as text for both; a tag that is not there is empty.
type Known = (String, String);

/// The job's state with another name and another value of the owned tag.
fn known_as(before: Option<&Value>, (name, tag): Known) -> Option<Value> {
    let mut job: Job = state::read(before)?;
    job.settings.name = name;
    job.settings.tag.1 = tag;
    state::of(&job)
}

fn conflict(operation: &str, code: &str, message: String) -> Failure {
    own_failure(FailureClass::Conflict, operation, code, message)
}

async fn there(context: &Context<'_>, operation: &'static str, id: &str) -> Result<Value, Failure> {
    let job = fetch(context, operation, id).await?;
    job.ok_or_else(|| wire::not_there(operation, &format!("job {id}")))
}

/// The job with this id, if there is one; `tag` is the key of the tag that a step owns.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Get {
    id: String,
    tag: String,
}

#[async_trait]
impl ReadState for Get {
    const NAME: &'static str = "databricks/jobs.get";
    type State = Job;

    fn about(&self) -> Object {
        Object::new("job id", &self.id)
    }

    async fn look_up(&self, context: &Context<'_>) -> Result<Option<Self::State>, Failure> {
        by_id(context, Self::NAME, &self.id, &self.tag).await
    }
}

/// Gives a job the name and the tag by which a step finds it; its other fields and tags stay.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Adopt {
    id: String,
    name: String,
    tag: (String, String),
}

impl Adopt {
    /// The job, unless a step could not keep it, or another step keeps it.
    async fn adoptable(&self, context: &Context<'_>) -> Result<Value, Failure> {
        let Self { id, name, tag } = self;
        let job = there(context, Self::NAME, id).await?;
        match tags(&job).get(&tag.0).and_then(Value::as_str) {
            Some(other) if !other.is_empty() && other != tag.1 => {
                let message = format!(
                    "job {id} is kept as `{other}` already: it has the tag {}={other}, not {}",
                    tag.0, tag.1
                );
                return Err(conflict(Self::NAME, "KeptByAnother", message));
            }
            _ => {}
        }
        let kept = |task: &Value| {
            let notebook = task.get("notebook_task");
            notebook.is_some_and(|notebook| notebook.get("source") != Some(&"GIT".into()))
        };
        if !matches!(tasks(&job), [task] if kept(task)) {
            let message = format!("job {id} is not a job of one notebook task in the workspace");
            return Err(conflict(Self::NAME, "NotOneNotebook", message));
        }
        let found = all(context, Self::NAME, name, tag).await?;
        match found.first().map(|job| job.job_id.to_string()) {
            Some(other) if other != *id => {
                let message = format!(
                    "job {other} is named {name} and has the tag {}={} already",
                    tag.0, tag.1
                );
                Err(conflict(Self::NAME, "KeepsAnother", message))
            }
            _ => Ok(job),
        }
    }
}

#[async_trait]
impl Write for Adopt {
    const NAME: &'static str = "databricks/jobs.adopt";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        named(&self.id, &self.name, &self.tag)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &by_id(context, Self::NAME, &self.id, &self.tag.0).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let job = self.adoptable(context).await?;
        let mut tags = tags(&job);
        let (key, value) = &self.tag;
        tags.insert(key.clone(), value.as_str().into());
        let body = json!({
            "job_id": number(Self::NAME, &self.id)?,
            "new_settings": { "name": self.name, "tags": tags },
        });
        let request = post(Self::NAME, UPDATE, body)?.idempotent(true);
        context.cloud.send(&request).await?;
        Ok(())
    }

    async fn check(&self, context: &Context<'_>) -> Result<(), Failure> {
        self.adoptable(context).await.map(|_| ())
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        known_as(before, (self.name.clone(), self.tag.1.clone()))
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        match state::read::<Job>(before) {
            Some(job) if self.after(before, &()).as_ref() != before => {
                let (_, tag) = job.settings.tag;
                Inverse::of(&Release {
                    id: self.id.clone(),
                    name: self.name.clone(),
                    tag: self.tag.clone(),
                    former_name: job.settings.name,
                    former_tag: Some(tag).filter(|tag| !tag.is_empty()),
                })
            }
            _ => Inverse::Nothing,
        }
    }
}

/// Gives an adopted job back the name and the tag that it had before.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    id: String,
    name: String,
    tag: (String, String),
    former_name: String,
    former_tag: Option<String>,
}

#[async_trait]
impl Write for Release {
    const NAME: &'static str = "databricks/jobs.release";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        named(&self.id, &self.name, &self.tag)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(
            &by_id(context, Self::NAME, &self.id, &self.tag.0).await?,
        ))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let job = there(context, Self::NAME, &self.id).await?;
        let mut tags = tags(&job);
        match &self.former_tag {
            Some(value) => tags.insert(self.tag.0.clone(), value.as_str().into()),
            None => tags.remove(&self.tag.0),
        };
        let id = number(Self::NAME, &self.id)?;
        let body = if tags.is_empty() {
            json!({
                "job_id": id,
                "new_settings": { "name": self.former_name },
                "fields_to_remove": ["tags"],
            })
        } else {
            json!({
                "job_id": id,
                "new_settings": { "name": self.former_name, "tags": tags },
            })
        };
        let request = post(Self::NAME, UPDATE, body)?.idempotent(true);
        context.cloud.send(&request).await?;
        Ok(())
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, before: Option<&Value>, (): &()) -> Option<Value> {
        let tag = self.former_tag.clone().unwrap_or_default();
        known_as(before, (self.former_name.clone(), tag))
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        if self.after(before, &()).as_ref() == before {
            return Inverse::Nothing;
        }
        Inverse::of(&Adopt {
            id: self.id.clone(),
            name: self.name.clone(),
            tag: self.tag.clone(),
        })
    }
}

/// The job that is found by this name and this tag, under a name of its own: that nothing was
/// found by them says nothing of the state that the job with this id is in before.
fn named(id: &str, name: &str, tag: &(String, String)) -> Object {
    object(name, tag).named(format!("{name} ({id})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Read as _;
    use crate::operations::databricks::job_settings::example;
    use crate::operations::databricks::jobs::Find;
    use crate::operations::testing::{PLACEHOLDERS, name, taken_back};

    fn adopt() -> Adopt {
        Adopt {
            id: "7".to_owned(),
            name: "nightly".to_owned(),
            tag: example().tag,
        }
    }

    fn job(name: &str, tag: &str) -> Option<Value> {
        let mut settings = example();
        settings.name = name.to_owned();
        settings.tag.1 = tag.to_owned();
        state::of(&Job {
            id: "7".to_owned(),
            settings,
            run_as_user_name: "a-1".to_owned(),
            url: "https://workspace.example/#job/7".to_owned(),
        })
    }

    #[test]
    fn an_adopted_job_is_given_back_as_it_was() {
        for before in [job("theirs", ""), job("theirs", "demo"), job("nightly", "")] {
            let inverse = taken_back(&adopt(), before.as_ref(), &());
            assert_eq!(name(&inverse), Some(Release::NAME));
        }
        let ours = job("nightly", "demo");
        assert_eq!(taken_back(&adopt(), ours.as_ref(), &()), Inverse::Nothing);
        let release = Release {
            id: "7".to_owned(),
            name: "nightly".to_owned(),
            tag: example().tag,
            former_name: "theirs".to_owned(),
            former_tag: None,
        };
        let inverse = taken_back(&release, ours.as_ref(), &());
        assert_eq!(name(&inverse), Some(Adopt::NAME));
        let theirs = job("theirs", "");
        assert_eq!(taken_back(&release, theirs.as_ref(), &()), Inverse::Nothing);
    }

    #[test]
    fn a_plan_finds_what_it_adopts() {
        let tag = example().tag;
        let find: Find = serde_json::from_value(json!({ "name": "nightly", "tag": tag })).unwrap();
        let (asked, adopted) = (find.object(), adopt().object());
        assert_eq!((asked.kind, asked.key), (adopted.kind, adopted.key));
        let after = adopt().after(job("theirs", "").as_ref(), &());
        let found = find.planned(after.as_ref(), &PLACEHOLDERS).unwrap();
        assert_eq!(state::of(&found), job("nightly", "demo"));
    }
}
