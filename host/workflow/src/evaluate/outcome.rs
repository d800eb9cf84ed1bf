//! Running the evaluator, with unknown values handled around it.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, EntryExpr, Expr as Tree, LiteralValue};
use cel::{Context, Env, IdedExpr, Value};
use lockkeeper_types::unknown;

use super::values::Values;
use crate::expr::Expr;

static EVALUATING: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// What came of an expression.
pub(super) enum Outcome {
    Known(Value),
    /// Known after that step.
    Unknown(String),
}

/// The value of an expression, or why it has none.
pub(super) fn evaluate(expr: &Expr, values: &Values<'_>) -> Result<Outcome, String> {
    let mut tree = EVALUATING
        .parser()
        .parse(&expr.text)
        .map_err(|errors| errors.to_string())?;
    presence_tests(&mut tree);
    let mut roots = BTreeSet::new();
    let mut steps = BTreeSet::new();
    each_path(&tree, &mut |path| {
        if let Some(root) = path.first() {
            roots.insert((*root).to_owned());
        }
        if let ["steps", step, ..] = path {
            steps.insert((*step).to_owned());
        }
    });
    let mut context = Context::with_env(Arc::clone(&EVALUATING));
    for root in roots {
        if let Some(value) = values.variable(&root, &steps) {
            context.add_variable_from_value(root, value);
        }
    }
    outcome(&tree, &context, values)
}

/// Logic over what is known: `false && unknown` is false.
fn outcome(
    tree: &IdedExpr,
    context: &Context<'_, '_>,
    values: &Values<'_>,
) -> Result<Outcome, String> {
    let Some(step) = unknown_in(tree, values) else {
        return Value::resolve(tree, context)
            .map(Outcome::Known)
            .map_err(|error| error.to_string());
    };
    let Tree::Call(call) = &tree.expr else {
        return Ok(Outcome::Unknown(step));
    };
    let known = |found: &Outcome, wanted: bool| matches!(found, Outcome::Known(Value::Bool(truth)) if *truth == wanted);
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operator @ (op::LOGICAL_AND | op::LOGICAL_OR), [left, right]) => {
            let deciding = operator == op::LOGICAL_OR;
            let left = outcome(left, context, values)?;
            if known(&left, deciding) {
                return Ok(left);
            }
            // What is unknown now may guard the other side, which need not have a value then.
            let right = match outcome(right, context, values) {
                Err(_) if matches!(left, Outcome::Unknown(_)) => return Ok(left),
                other => other?,
            };
            if known(&right, deciding) || !matches!(left, Outcome::Unknown(_)) {
                return Ok(right);
            }
            Ok(left)
        }
        (op::LOGICAL_NOT, [arg]) => Ok(match outcome(arg, context, values)? {
            Outcome::Known(Value::Bool(truth)) => Outcome::Known(Value::Bool(!truth)),
            other => other,
        }),
        (op::CONDITIONAL, [condition, yes, no]) => match outcome(condition, context, values)? {
            Outcome::Known(Value::Bool(true)) => outcome(yes, context, values),
            Outcome::Known(Value::Bool(false)) => outcome(no, context, values),
            other => Ok(other),
        },
        _ => Ok(Outcome::Unknown(step)),
    }
}

/// The step that the first unknown value in an expression waits for.
/// Whether an unknown value is null is known: it is not.
fn unknown_in(tree: &IdedExpr, values: &Values<'_>) -> Option<String> {
    let mut found = None;
    let mut tested = Vec::new();
    null_tests(tree, &mut tested);
    each_path_of(tree, &tested, &mut |path| {
        if found.is_none()
            && let Some(value) = values.find_names(path)
        {
            found = unknown::source_in(value).map(str::to_owned);
        }
    });
    found
}

/// The ids of the nodes that are compared with null.
fn null_tests(tree: &IdedExpr, tested: &mut Vec<u64>) {
    if let Tree::Call(call) = &tree.expr
        && matches!(call.func_name.as_str(), op::EQUALS | op::NOT_EQUALS)
        && let [one, other] = call.args.as_slice()
    {
        for (side, opposite) in [(one, other), (other, one)] {
            if matches!(opposite.expr, Tree::Literal(LiteralValue::Null)) {
                tested.push(side.id);
            }
        }
    }
    for child in children(tree) {
        null_tests(child, tested);
    }
}

fn each_path(tree: &IdedExpr, visit: &mut impl FnMut(&[&str])) {
    each_path_of(tree, &[], visit);
}

/// Calls `visit` for every path but those whose node is in `without`.
fn each_path_of(tree: &IdedExpr, without: &[u64], visit: &mut impl FnMut(&[&str])) {
    if without.contains(&tree.id) {
        return;
    }
    if let Some(path) = path(tree) {
        visit(&path);
        return;
    }
    for child in children(tree) {
        each_path_of(child, without, visit);
    }
}

/// The path that a node is, root first.
fn path(tree: &IdedExpr) -> Option<Vec<&str>> {
    match &tree.expr {
        Tree::Ident(name) => Some(vec![name]),
        Tree::Select(select) if !select.test => {
            let mut names = path(&select.operand)?;
            names.push(&select.field);
            Some(names)
        }
        _ => None,
    }
}

fn children(tree: &IdedExpr) -> Vec<&IdedExpr> {
    match &tree.expr {
        Tree::Call(call) => call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect(),
        Tree::Comprehension(all) => vec![
            &all.iter_range,
            &all.accu_init,
            &all.loop_cond,
            &all.loop_step,
            &all.result,
        ],
        Tree::List(list) => list.elements.iter().collect(),
        Tree::Map(map) => map
            .entries
            .iter()
            .flat_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
                EntryExpr::StructField(field) => vec![&field.value],
            })
            .collect(),
        Tree::Select(select) => vec![&select.operand],
        Tree::Ident(_) | Tree::Literal(_) | Tree::Struct(_) | Tree::Unspecified => Vec::new(),
    }
}

/// `has(a.b)` asks CEL's maps for a key; here an absent option is null, so it asks for that.
fn presence_tests(tree: &mut IdedExpr) {
    match &mut tree.expr {
        Tree::Select(select) => {
            presence_tests(&mut select.operand);
            if select.test {
                select.test = false;
                let id = tree.id;
                let path = std::mem::take(&mut tree.expr);
                // Ids only name places; the null keeps the place of the test.
                let null = IdedExpr {
                    id: 0,
                    expr: Tree::Literal(LiteralValue::Null),
                };
                tree.expr = Tree::Call(CallExpr {
                    func_name: op::NOT_EQUALS.to_owned(),
                    target: None,
                    args: vec![IdedExpr { id, expr: path }, null],
                });
                tree.id = 0;
            }
        }
        Tree::Call(call) => {
            for node in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
                presence_tests(node);
            }
        }
        Tree::Comprehension(all) => {
            presence_tests(&mut all.iter_range);
            presence_tests(&mut all.loop_step);
        }
        Tree::List(list) => list.elements.iter_mut().for_each(presence_tests),
        Tree::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    presence_tests(&mut entry.value);
                }
            }
        }
        Tree::Ident(_) | Tree::Literal(_) | Tree::Struct(_) | Tree::Unspecified => {}
    }
}

/// A value by the conventions of `lockkeeper-types`: durations in whole seconds.
pub(super) fn to_json(value: &Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        Value::Duration(length) if length.subsec_nanos() == 0 => length.num_seconds().into(),
        Value::Duration(_) => return Err("a length of time is whole seconds here".to_owned()),
        Value::Timestamp(time) => time.to_rfc3339().into(),
        Value::List(items) => items
            .iter()
            .map(to_json)
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        Value::Map(map) => {
            let fields: Result<serde_json::Map<_, _>, String> = map
                .map
                .iter()
                .map(|(key, value)| Ok((key.to_string(), to_json(value)?)))
                .collect();
            serde_json::Value::Object(fields?)
        }
        other => other.json().map_err(|error| error.to_string())?,
    })
}
