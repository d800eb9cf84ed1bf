//! How an undo looks, before and after, and what others changed.

use lockkeeper_engine::{Difference, UndoPlan, UndoReport, UndoState};
use lockkeeper_types::Value;

use super::{push_line, value};

/// What an undo would do.
pub(crate) fn undo_plan(plan: &UndoPlan) -> String {
    let mut text = format!("  Undo of run {}\n\n", plan.run);
    let width = plan
        .items
        .iter()
        .map(|item| item.written.step.len())
        .max()
        .unwrap_or_default();
    let kinds = plan.items.iter().map(|item| item.written.object.kind.len());
    let kinds = kinds.max().unwrap_or_default();
    for item in &plan.items {
        let object = &item.written.object;
        let (symbol, what) = match &item.state {
            UndoState::Ready(_) if item.written.before.is_null() => ('-', String::new()),
            UndoState::Ready(_) => ('~', "back to what it was".to_owned()),
            UndoState::Done => continue,
            UndoState::Changed { .. } => ('?', "somebody changed it since: left alone".to_owned()),
            UndoState::Impossible(reason) => ('!', format!("stays: {reason}")),
            UndoState::Kept => (' ', "kept".to_owned()),
        };
        let line = format!(
            "  {:<width$}  {symbol} {:<kinds$}  {}   {what}",
            item.written.step, object.kind, object.name
        );
        push_line(&mut text, &line);
    }
    text.push_str(&format!("\n  {} to take back.\n", plan.calls().count()));
    text
}

/// What an undo came to.
pub(crate) fn undo_report(report: &UndoReport) -> String {
    let mut text = format!(
        "  Took back {} writes of run {}.\n",
        report.undone, report.run
    );
    if report.left.iter().all(|left| left.expected) {
        text.push_str("  Looked again: what was taken back is gone, or as it was.\n");
    }
    if !report.left.is_empty() {
        text.push_str("  Still there:\n");
    }
    for left in &report.left {
        let line = format!("    {}  {}: {}", left.step, left.object, left.reason);
        push_line(&mut text, &line);
    }
    if !report.remains.is_empty() {
        text.push_str(
            "  Deleted, and kept by its service for a while (`undo --purge` deletes for good):\n",
        );
    }
    for remains in &report.remains {
        let until = remains
            .kept_until
            .as_deref()
            .and_then(|until| until.split('T').next());
        let line = format!(
            "    {} {}, until {}",
            remains.object.kind,
            remains.object.name,
            until.unwrap_or("a time that the service does not say")
        );
        push_line(&mut text, &line);
    }
    text
}

/// What changed since a run.
pub(crate) fn drift(run: &str, found: &[Difference]) -> String {
    if found.is_empty() {
        return format!("  Changed outside lockkeeper since run {run}: none\n");
    }
    let mut text = format!("  Changed outside lockkeeper since run {run}:\n");
    let mut last = None;
    for difference in found {
        let object = &difference.object;
        if last != Some(object) {
            let line = format!(
                "  {:<10} ~ {:<18} {}",
                difference.step, object.kind, object.name
            );
            push_line(&mut text, &line);
            last = Some(object);
        }
        let field = match difference.field.as_str() {
            "" => "the whole of it",
            field => field,
        };
        let change = match (&difference.left, &difference.now) {
            (_, Value::Null) => "gone".to_owned(),
            (Value::Null, _) => "added".to_owned(),
            (left, now) => format!("{} -> {}", value(left), value(now)),
        };
        push_line(&mut text, &format!("      {field}: {change}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use lockkeeper_engine::{LeftBehind, Remains};
    use lockkeeper_gate::Object;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_service_says_stays_on_its_line() {
        let forged = "job\n  Took back 9 writes\u{1b}[2J";
        let object = Object::new("job", "7").named(forged);
        let report = UndoReport {
            undo: "7Q3N".to_owned(),
            run: "7Q3M".to_owned(),
            undone: 0,
            left: vec![LeftBehind {
                step: "job".to_owned(),
                object: format!("job {forged}"),
                reason: forged.to_owned(),
                expected: false,
            }],
            remains: vec![Remains {
                object: object.clone(),
                kept_until: None,
            }],
        };
        let difference = Difference {
            step: "job".to_owned(),
            object,
            field: "settings.name".to_owned(),
            left: json!("mine"),
            now: json!(forged),
        };
        for (screen, lines) in [(undo_report(&report), 5), (drift("7Q3M", &[difference]), 3)] {
            assert_eq!(screen.lines().count(), lines, "{screen}");
            assert!(!screen.contains('\u{1b}'), "{screen:?}");
        }
    }
}
