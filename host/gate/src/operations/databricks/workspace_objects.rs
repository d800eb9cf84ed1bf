//! Folders and notebooks (reference/databricks.md, section 11). State: [`State`].
//!
//! An object's number is not in its state: the service makes it and no write here gives it back.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockkeeper_cloud::{Class as FailureClass, Failure};
use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::workspace_state::{Language, ObjectKind, State, canonical, normal, parent};
use super::{get, post, text};
use crate::definition::own_failure;
use crate::operation::{Class, Context, Inverse, Object, Observed, Placeholders, Read, Write};
use crate::operations::{state, wire};

/// An object as a plugin sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkspaceObject {
    path: String,
    kind: ObjectKind,
    object_id: String,
}

#[derive(Deserialize)]
struct Status {
    object_type: String,
    path: Option<String>,
    language: Option<Language>,
}

struct Found {
    status: Status,
    object_id: String,
}

async fn status(
    context: &Context<'_>,
    operation: &'static str,
    path: &str,
) -> Result<Option<Found>, Failure> {
    let request = get(operation, "/api/2.0/workspace/get-status")?.query("path", normal(path));
    let Some(reply) = wire::if_there(context.cloud.send(&request).await)? else {
        return Ok(None);
    };
    let object_id = text(&reply.body, "object_id").unwrap_or_default();
    Ok(Some(Found {
        status: wire::read(operation, &reply.body)?,
        object_id,
    }))
}

async fn export(
    context: &Context<'_>,
    operation: &'static str,
    path: &str,
) -> Result<Option<String>, Failure> {
    let request = get(operation, "/api/2.0/workspace/export")?
        .query("path", normal(path))
        .query("format", "SOURCE");
    let Some(reply) = wire::if_there(context.cloud.send(&request).await)? else {
        return Ok(None);
    };
    let encoded = text(&reply.body, "content").unwrap_or_default();
    let bytes = STANDARD
        .decode(encoded)
        .map_err(|error| wire::unexpected(operation, error))?;
    let source = String::from_utf8(bytes).map_err(|error| wire::unexpected(operation, error))?;
    Ok(Some(canonical(&source)))
}

async fn observe(
    context: &Context<'_>,
    operation: &'static str,
    path: &str,
) -> Result<Option<State>, Failure> {
    let Some(found) = status(context, operation, path).await? else {
        return Ok(None);
    };
    let kind = ObjectKind::of(&found.status.object_type);
    if kind != ObjectKind::Notebook {
        return Ok(Some(State::Object { kind }));
    }
    let source = export(context, operation, path).await?;
    Ok(source.map(|source| State::notebook(found.status.language, &source)))
}

fn object(path: &str) -> Object {
    Object::new("workspace object", normal(path))
}

/// What is at a path, if anything.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Find {
    path: String,
}

#[async_trait]
impl Read for Find {
    const NAME: &'static str = "databricks/workspace-objects.find";
    type Output = Option<WorkspaceObject>;

    fn object(&self) -> Object {
        object(&self.path)
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        let found = status(context, Self::NAME, &self.path).await?;
        Ok(found.map(|found| WorkspaceObject {
            kind: ObjectKind::of(&found.status.object_type),
            path: found
                .status
                .path
                .unwrap_or_else(|| normal(&self.path).to_owned()),
            object_id: found.object_id,
        }))
    }

    fn planned(
        &self,
        state: Option<&Value>,
        placeholders: &Placeholders<'_>,
    ) -> Result<Self::Output, Failure> {
        let kind = state::read::<State>(state).and_then(|state| state.kind());
        Ok(kind.map(|kind| WorkspaceObject {
            path: normal(&self.path).to_owned(),
            kind,
            object_id: placeholders.make("object_id"),
        }))
    }

    fn observed(&self, output: &Self::Output) -> Option<Observed> {
        // A notebook's state has its text; where nothing is, parents may be missing too.
        let kind = output.as_ref()?.kind;
        (kind != ObjectKind::Notebook).then(|| state::of(&State::Object { kind }))
    }
}

/// Creates a folder and its parents; one that exists is no error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mkdirs {
    path: String,
}

#[async_trait]
impl Write for Mkdirs {
    const NAME: &'static str = "databricks/workspace-objects.mkdirs";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.path)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        if let Some(state) = observe(context, Self::NAME, &self.path).await? {
            return Ok(state::of(&state));
        }
        let path = normal(&self.path);
        let mut topmost = path;
        while let Some(above) = parent(topmost) {
            if status(context, Self::NAME, above).await?.is_some() {
                break;
            }
            topmost = above;
        }
        if topmost == path {
            return Ok(None);
        }
        Ok(state::of(&State::Missing {
            missing_from: topmost.to_owned(),
        }))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let body = json!({ "path": normal(&self.path) });
        let request = post(Self::NAME, "/api/2.0/workspace/mkdirs", body)?.idempotent(true);
        context.cloud.send(&request).await?;
        Ok(())
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, _: Option<&Value>, (): &()) -> Option<Value> {
        state::of(&State::Object {
            kind: ObjectKind::Directory,
        })
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        match state::read(before) {
            None => Inverse::of(&Delete {
                path: self.path.clone(),
            }),
            Some(State::Missing { missing_from }) => Inverse::of(&Delete { path: missing_from }),
            Some(State::Object { .. } | State::Notebook { .. }) => Inverse::Nothing,
        }
    }
}

/// The source text of a notebook, if there is one at the path: without the header line that the
/// service puts in front, and without line ends at its end.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadNotebook {
    path: String,
}

#[async_trait]
impl Read for ReadNotebook {
    const NAME: &'static str = "databricks/workspace-objects.read-notebook";
    type Output = Option<String>;

    fn object(&self) -> Object {
        object(&self.path)
    }

    async fn send(&self, context: &Context<'_>) -> Result<Self::Output, Failure> {
        match observe(context, Self::NAME, &self.path).await? {
            Some(State::Notebook { source, .. }) => Ok(Some(source)),
            _ => Ok(None),
        }
    }

    fn planned(
        &self,
        state: Option<&Value>,
        _: &Placeholders<'_>,
    ) -> Result<Self::Output, Failure> {
        match state::read(state) {
            Some(State::Notebook { source, .. }) => Ok(Some(source)),
            _ => Ok(None),
        }
    }
}

/// Writes a notebook; one that is there is overwritten.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteNotebook {
    path: String,
    language: Language,
    source: String,
}

#[async_trait]
impl Write for WriteNotebook {
    const NAME: &'static str = "databricks/workspace-objects.write-notebook";
    const CLASS: Class = Class::Put;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.path)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(&observe(context, Self::NAME, &self.path).await?))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        let body = json!({
            "path": normal(&self.path),
            "format": "SOURCE",
            "language": self.language.on_the_wire(),
            "content": STANDARD.encode(&self.source),
            "overwrite": true,
        });
        let request = post(Self::NAME, "/api/2.0/workspace/import", body)?.idempotent(true);
        context.cloud.send(&request).await?;
        Ok(())
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, _: Option<&Value>, (): &()) -> Option<Value> {
        state::of(&State::notebook(Some(self.language), &self.source))
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        match state::read(before) {
            None | Some(State::Missing { .. }) => Inverse::of(&Delete {
                path: self.path.clone(),
            }),
            Some(State::Notebook {
                language: Some(language),
                source,
                ..
            }) => {
                if language == self.language && source == canonical(&self.source) {
                    return Inverse::Nothing;
                }
                Inverse::of(&Self {
                    path: self.path.clone(),
                    language,
                    source,
                })
            }
            Some(State::Notebook { .. } | State::Object { .. }) => Inverse::Impossible(
                "what was there before was no notebook that can be written back",
            ),
        }
    }
}

/// Deletes a notebook, or a folder that holds nothing but empty folders; one that is gone is no
/// error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    path: String,
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    objects: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    object_type: String,
    path: String,
}

impl Delete {
    /// What there is to delete, folders before those in them. Refuses a folder that holds anything
    /// but folders.
    async fn paths(&self, context: &Context<'_>) -> Result<Vec<String>, Failure> {
        let Some(found) = status(context, Self::NAME, &self.path).await? else {
            return Ok(Vec::new());
        };
        if ObjectKind::of(&found.status.object_type) == ObjectKind::Directory {
            self.folders_below(context).await
        } else {
            Ok(vec![normal(&self.path).to_owned()])
        }
    }

    /// The folders below the path, each before those in it. Refuses if anything else is there.
    async fn folders_below(&self, context: &Context<'_>) -> Result<Vec<String>, Failure> {
        let mut folders = Vec::new();
        let mut open = vec![normal(&self.path).to_owned()];
        while let Some(folder) = open.pop() {
            let request =
                get(Self::NAME, "/api/2.0/workspace/list")?.query("path", folder.as_str());
            folders.push(folder);
            let Some(reply) = wire::if_there(context.cloud.send(&request).await)? else {
                continue;
            };
            for object in wire::read::<Listing>(Self::NAME, &reply.body)?.objects {
                if ObjectKind::of(&object.object_type) != ObjectKind::Directory {
                    return Err(own_failure(
                        FailureClass::Conflict,
                        Self::NAME,
                        "DIRECTORY_NOT_EMPTY",
                        format!("{} is not empty: it holds {}", self.path, object.path),
                    ));
                }
                open.push(object.path);
            }
        }
        Ok(folders)
    }
}

#[async_trait]
impl Write for Delete {
    const NAME: &'static str = "databricks/workspace-objects.delete";
    const CLASS: Class = Class::Delete;
    type Output = ();

    fn object(&self) -> Object {
        object(&self.path)
    }

    async fn state(&self, context: &Context<'_>) -> Result<Observed, Failure> {
        Ok(state::of(&observe(context, Self::NAME, &self.path).await?))
    }

    async fn send(&self, context: &Context<'_>) -> Result<(), Failure> {
        // Never recursive: what somebody puts in between stops it.
        for path in self.paths(context).await?.iter().rev() {
            let body = json!({ "path": path, "recursive": false });
            let request = post(Self::NAME, "/api/2.0/workspace/delete", body)?.idempotent(true);
            wire::gone(context.cloud.send(&request).await)?;
        }
        Ok(())
    }

    async fn check(&self, context: &Context<'_>) -> Result<(), Failure> {
        self.paths(context).await.map(|_| ())
    }

    fn preview(&self, _: Option<&Value>, _: &Placeholders<'_>) {}

    fn after(&self, _: Option<&Value>, (): &()) -> Option<Value> {
        None
    }

    fn inverse(&self, before: Option<&Value>, (): &()) -> Inverse {
        match state::read(before) {
            None | Some(State::Missing { .. }) => Inverse::Nothing,
            Some(State::Object {
                kind: ObjectKind::Directory,
            }) => Inverse::of(&Mkdirs {
                path: self.path.clone(),
            }),
            Some(State::Notebook {
                language: Some(language),
                source,
                ..
            }) => Inverse::of(&WriteNotebook {
                path: self.path.clone(),
                language,
                source,
            }),
            Some(State::Notebook { .. } | State::Object { .. }) => {
                Inverse::Impossible("only notebooks and folders can be made again")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::{PLACEHOLDERS, name, taken_back};

    fn write(source: &str) -> WriteNotebook {
        WriteNotebook {
            path: "/Workspace/Shared/x".to_owned(),
            language: Language::Sql,
            source: source.to_owned(),
        }
    }

    #[test]
    fn a_notebook_is_deleted_or_its_old_text_put_back() {
        assert_eq!(
            name(&taken_back(&write("SELECT 1"), None, &())),
            Some(Delete::NAME)
        );
        let old = write("SELECT 1").after(None, &());
        let inverse = taken_back(&write("SELECT 2"), old.as_ref(), &());
        assert_eq!(name(&inverse), Some(WriteNotebook::NAME));
        assert_eq!(
            taken_back(&write("SELECT 1\n"), old.as_ref(), &()),
            Inverse::Nothing
        );
        let delete = Delete {
            path: "/Shared/x".to_owned(),
        };
        assert_eq!(
            name(&taken_back(&delete, old.as_ref(), &())),
            Some(WriteNotebook::NAME)
        );
        let folder = state::of(&State::Object {
            kind: ObjectKind::Directory,
        });
        assert!(matches!(
            write("").inverse(folder.as_ref(), &()),
            Inverse::Impossible(_)
        ));
    }

    #[test]
    fn a_folder_is_taken_back_from_the_topmost_one_it_made() {
        let mkdirs = Mkdirs {
            path: "/Shared/a/b/c".to_owned(),
        };
        assert_eq!(name(&taken_back(&mkdirs, None, &())), Some(Delete::NAME));
        let missing = state::of(&State::Missing {
            missing_from: "/Shared/a".to_owned(),
        });
        let Inverse::Call(name, arguments) = mkdirs.inverse(missing.as_ref(), &()) else {
            panic!()
        };
        assert_eq!(
            (name, &arguments["path"]),
            (Delete::NAME, &json!("/Shared/a"))
        );
        let there = mkdirs.after(None, &());
        assert_eq!(taken_back(&mkdirs, there.as_ref(), &()), Inverse::Nothing);
    }

    #[test]
    fn a_plan_finds_and_reads_what_it_writes() {
        let find = Find {
            path: "/Shared/x/".to_owned(),
        };
        let read = ReadNotebook {
            path: "/Shared/x".to_owned(),
        };
        assert_eq!(find.object(), write("").object());
        assert_eq!(read.object(), write("").object());
        let after = write("SELECT 1").after(None, &());
        let found = find
            .planned(after.as_ref(), &PLACEHOLDERS)
            .unwrap()
            .unwrap();
        assert_eq!(
            (found.path.as_str(), found.kind),
            ("/Shared/x", ObjectKind::Notebook)
        );
        assert_eq!(
            lockkeeper_types::unknown::source(&found.object_id),
            Some("step")
        );
        assert_eq!(
            read.planned(after.as_ref(), &PLACEHOLDERS)
                .unwrap()
                .as_deref(),
            Some("SELECT 1")
        );
        let missing = state::of(&State::Missing {
            missing_from: "/Shared".to_owned(),
        });
        assert_eq!(find.planned(missing.as_ref(), &PLACEHOLDERS).unwrap(), None);
        assert_eq!(read.planned(missing.as_ref(), &PLACEHOLDERS).unwrap(), None);
    }
}
