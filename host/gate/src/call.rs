//! A call: one use of an operation, as a plain value.

use lockkeeper_types::Value;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::operation::Write;
use crate::operations;

/// One use of an operation. Secrets in it are handles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// `PACKAGE/INTERFACE.FUNCTION`
    pub operation: String,
    /// The WIT function's parameters by name.
    pub arguments: Value,
}

impl Call {
    /// The call that a write is.
    pub(crate) fn of<W: Write>(write: &W) -> Option<Self> {
        let arguments = serde_json::to_value(write).ok()?;
        Some(Self {
            operation: W::NAME.to_owned(),
            arguments,
        })
    }

    /// For a call that deletes an object of which its service keeps something for a while: the
    /// call that deletes that for good.
    pub fn purge(&self) -> Option<Self> {
        operations::find(&self.operation)?
            .purge(&self.arguments)
            .ok()?
    }

    /// What the service did of itself because of the call, and leaves when it is taken back.
    pub fn stays(&self) -> Option<&'static str> {
        operations::find(&self.operation)?
            .stays(&self.arguments)
            .ok()?
    }

    /// SHA-256 of the call, in hexadecimal. Object keys are ordered before hashing, so equal
    /// calls have equal digests.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.operation.as_bytes());
        hash_value(&mut hasher, &self.arguments);
        format!("{:x}", hasher.finalize())
    }
}

fn hash_value(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| name.as_str());
            hasher.update(b"{");
            for (name, value) in fields {
                hash_value(hasher, &Value::String(name.clone()));
                hash_value(hasher, value);
            }
            hasher.update(b"}");
        }
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                hash_value(hasher, item);
            }
            hasher.update(b"]");
        }
        scalar => {
            hasher.update(scalar.to_string().as_bytes());
            hasher.update(b"\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_fields_does_not_matter_and_all_else_does() {
        let call = |arguments| {
            Call {
                operation: "a/b.c".into(),
                arguments,
            }
            .digest()
        };
        assert_eq!(
            call(json!({ "x": 1, "y": [2] })),
            call(json!({ "y": [2], "x": 1 }))
        );
        assert_ne!(call(json!({ "x": 1 })), call(json!({ "x": "1" })));
        assert_ne!(call(json!(["ab", "c"])), call(json!(["a", "bc"])));
    }
}
