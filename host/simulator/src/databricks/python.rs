//! The part of Python that the simulator runs: assignments and calls of `dbutils` and `spark`.
//! Everything else stops the notebook with a fault that says so.

use std::collections::BTreeMap;

use super::notebook::{Session, Stop};
use super::sql_engine::Table;
use super::storage_access::Conf;

/// The variables of a notebook.
pub(super) type Variables = BTreeMap<String, Value>;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Text(String),
    Number(i64),
    List(Vec<Value>),
    Table(Table),
    /// A reader that waits for its `load`.
    Reader,
}

impl Value {
    fn print(&self) -> String {
        match self {
            Self::None => "None".into(),
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::List(list) => {
                let elements: Vec<String> = list.iter().map(Self::print).collect();
                format!("[{}]", elements.join(", "))
            }
            Self::Table(table) => table.to_json(),
            Self::Reader => "DataFrameReader".into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(i64),
    Mark(char),
    Newline,
}

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Value(Value),
    Name(String),
    Field(Box<Self>, String),
    Call(Box<Self>, Vec<Self>),
    Index(Box<Self>, Box<Self>),
}

/// Runs a cell.
pub(super) fn run(
    session: &mut Session<'_>,
    variables: &mut Variables,
    code: &str,
) -> Result<(), Stop> {
    let tokens = tokens(code).map_err(|what| unsupported(&what))?;
    for statement in tokens.split(|token| *token == Token::Newline) {
        let (target, rest) = match statement {
            [] => continue,
            [Token::Name(name), Token::Mark('='), rest @ ..] => (Some(name), rest),
            rest => (None, rest),
        };
        let mut parser = Parser {
            tokens: rest,
            at: 0,
        };
        let expression = parser
            .expression()
            .filter(|_| parser.at == rest.len())
            .ok_or_else(|| unsupported(&shown(statement)))?;
        let value = evaluate(session, variables, &expression)?;
        if let Some(name) = target {
            variables.insert(name.clone(), value);
        }
    }
    Ok(())
}

fn unsupported(what: &str) -> Stop {
    Stop::fault(format!(
        "NotImplementedError: the simulator does not run this Python: {what}"
    ))
}

fn shown(tokens: &[Token]) -> String {
    tokens
        .iter()
        .map(|token| match token {
            Token::Name(name) => name.clone(),
            Token::Text(_) => "'…'".into(),
            Token::Number(number) => number.to_string(),
            Token::Mark(mark) => mark.to_string(),
            Token::Newline => String::new(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Tokens; a line ends only outside of parentheses.
fn tokens(code: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut depth = 0_usize;
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let mut used = first.len_utf8();
        match first {
            '\n' if depth == 0 => tokens.push(Token::Newline),
            ';' => tokens.push(Token::Newline),
            _ if first.is_whitespace() => {}
            '\\' if rest.starts_with("\\\n") => used = 2,
            '#' => used = rest.find('\n').unwrap_or(rest.len()),
            '\'' | '"' => {
                let (text, length) =
                    text(rest).ok_or_else(|| "a string that does not end".to_owned())?;
                tokens.push(Token::Text(text));
                used = length;
            }
            '(' | '[' => {
                depth += 1;
                tokens.push(Token::Mark(first));
            }
            ')' | ']' => {
                depth = depth.saturating_sub(1);
                tokens.push(Token::Mark(first));
            }
            '.' | ',' | '=' if !rest.starts_with("==") => tokens.push(Token::Mark(first)),
            _ if first.is_ascii_digit() => {
                used = rest
                    .find(|other: char| !other.is_ascii_digit())
                    .unwrap_or(rest.len());
                let digits = rest.get(..used).unwrap_or_default();
                tokens.push(Token::Number(
                    digits.parse().map_err(|_| digits.to_owned())?,
                ));
            }
            _ if first.is_alphabetic() || first == '_' => {
                used = rest
                    .find(|other: char| !(other.is_alphanumeric() || other == '_'))
                    .unwrap_or(rest.len());
                tokens.push(Token::Name(rest.get(..used).unwrap_or_default().to_owned()));
            }
            _ => return Err(rest.lines().next().unwrap_or_default().to_owned()),
        }
        rest = rest.get(used..).unwrap_or_default();
    }
    Ok(tokens)
}

/// A string literal at the start of `rest`, and how many bytes it takes.
fn text(rest: &str) -> Option<(String, usize)> {
    let quote = rest.get(..1)?;
    let triple = quote.repeat(3);
    let mark = if rest.starts_with(&triple) {
        triple.as_str()
    } else {
        quote
    };
    let mut text = String::new();
    let mut at = mark.len();
    loop {
        let tail = rest.get(at..)?;
        if tail.starts_with(mark) {
            return Some((text, at + mark.len()));
        }
        let mut characters = tail.chars();
        let character = characters.next()?;
        at += character.len_utf8();
        if character == '\n' && mark.len() == 1 {
            return None;
        }
        if character != '\\' {
            text.push(character);
            continue;
        }
        let escaped = characters.next()?;
        at += escaped.len_utf8();
        match escaped {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            '\n' => {}
            '\\' | '\'' | '"' => text.push(escaped),
            other => text.extend(['\\', other]),
        }
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    fn takes(&mut self, mark: char) -> bool {
        let found = self.tokens.get(self.at) == Some(&Token::Mark(mark));
        self.at += usize::from(found);
        found
    }

    fn expression(&mut self) -> Option<Expression> {
        let mut expression = match self.next()?.clone() {
            Token::Name(name) if name == "None" => Expression::Value(Value::None),
            Token::Name(name) => Expression::Name(name),
            Token::Text(text) => Expression::Value(Value::Text(text)),
            Token::Number(number) => Expression::Value(Value::Number(number)),
            _ => return None,
        };
        loop {
            if self.takes('.') {
                let Token::Name(name) = self.next()?.clone() else {
                    return None;
                };
                expression = Expression::Field(Box::new(expression), name);
            } else if self.takes('(') {
                expression = Expression::Call(Box::new(expression), self.arguments()?);
            } else if self.takes('[') {
                let index = self.expression()?;
                if !self.takes(']') {
                    return None;
                }
                expression = Expression::Index(Box::new(expression), Box::new(index));
            } else {
                return Some(expression);
            }
        }
    }

    /// Arguments up to the closing parenthesis. Of the functions here only `secrets.get` has two
    /// that go by name, so `scope=` comes first wherever it stands.
    fn arguments(&mut self) -> Option<Vec<Expression>> {
        let mut arguments = Vec::new();
        while !self.takes(')') {
            let keyword = match (self.tokens.get(self.at), self.tokens.get(self.at + 1)) {
                (Some(Token::Name(name)), Some(Token::Mark('='))) => {
                    self.at += 2;
                    name.as_str()
                }
                _ => "",
            };
            let at = if keyword == "scope" {
                0
            } else {
                arguments.len()
            };
            arguments.insert(at, self.expression()?);
            if !self.takes(',') && self.tokens.get(self.at) != Some(&Token::Mark(')')) {
                return None;
            }
        }
        Some(arguments)
    }
}

/// `dbutils.secrets.get` and the like as one text.
fn path(expression: &Expression) -> Option<String> {
    match expression {
        Expression::Name(name) => Some(name.clone()),
        Expression::Field(inner, name) => Some(format!("{}.{name}", path(inner)?)),
        _ => None,
    }
}

fn evaluate(
    session: &mut Session<'_>,
    variables: &Variables,
    expression: &Expression,
) -> Result<Value, Stop> {
    match expression {
        Expression::Value(value) => Ok(value.clone()),
        Expression::Name(name) => variables
            .get(name)
            .cloned()
            .ok_or_else(|| Stop::fault(format!("NameError: name '{name}' is not defined"))),
        Expression::Index(inner, index) => {
            let (value, index) = (
                evaluate(session, variables, inner)?,
                evaluate(session, variables, index)?,
            );
            match (value, index) {
                (Value::List(list), Value::Number(at)) => usize::try_from(at)
                    .ok()
                    .and_then(|at| list.get(at).cloned())
                    .ok_or_else(|| Stop::fault("IndexError: list index out of range")),
                _ => Err(unsupported("this index")),
            }
        }
        Expression::Field(inner, name) => {
            if path(expression).as_deref() == Some("spark.read") {
                return Ok(Value::Reader);
            }
            evaluate(session, variables, inner)?;
            Err(unsupported(&format!(".{name}")))
        }
        Expression::Call(callee, arguments) => {
            let mut values = Vec::new();
            for argument in arguments {
                values.push(evaluate(session, variables, argument)?);
            }
            if let Some(name) = path(callee)
                && let Some(value) = call(session, &name, &values)?
            {
                return Ok(value);
            }
            match callee.as_ref() {
                Expression::Field(inner, name) => {
                    let value = evaluate(session, variables, inner)?;
                    method(session, &value, name, &values)
                }
                _ => Err(unsupported("this call")),
            }
        }
    }
}

/// Calls that go by their whole name; none when there is no such function.
fn call(session: &mut Session<'_>, name: &str, arguments: &[Value]) -> Result<Option<Value>, Stop> {
    let value = match (name, arguments) {
        ("print" | "display", [_]) => Value::None,
        ("str", [value]) => Value::Text(value.print()),
        ("dbutils.notebook.exit", [value]) => return Err(Stop::Exit(value.print())),
        ("dbutils.secrets.get", [Value::Text(scope), Value::Text(key)]) => {
            Value::Text(session.secret(scope, key)?)
        }
        ("dbutils.widgets.get", [Value::Text(widget)]) => {
            let value = session.parameters.get(widget).cloned();
            Value::Text(value.ok_or_else(|| {
                Stop::fault(format!(
                    "InputWidgetNotDefined: No input widget named {widget} is defined"
                ))
            })?)
        }
        ("dbutils.fs.ls", [Value::Text(url)]) => {
            let files = session.storage.files(session.world, session.state, url);
            let names = files
                .map_err(Stop::fault)?
                .into_iter()
                .map(|(name, _)| Value::Text(name));
            Value::List(names.collect())
        }
        ("spark.sql", [Value::Text(script)]) => {
            Value::Table(session.sql(script)?.unwrap_or_default())
        }
        ("spark.conf.set", [Value::Text(name), value]) => {
            session.conf.insert(name.clone(), value.print().into());
            Value::None
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn method(
    session: &mut Session<'_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Stop> {
    match (value, name, arguments) {
        (Value::Reader, "format" | "option" | "schema", _) => Ok(Value::Reader),
        (Value::Reader, "text" | "csv" | "json" | "load", [Value::Text(url), ..]) => {
            // What the notebook set itself counts too, so the token is asked for only now.
            let conf: Conf = std::mem::take(&mut session.conf);
            let connected = session.storage.connect(session.world, session.state, &conf);
            session.conf = conf;
            connected.map_err(Stop::fault)?;
            let lines = session.storage.lines(session.world, session.state, url);
            lines.map(Value::Table).map_err(Stop::fault)
        }
        (Value::Table(_), "show" | "display" | "cache", _) => Ok(Value::None),
        (Value::Table(table), "count", []) => Ok(Value::Number(
            i64::try_from(table.rows.len()).unwrap_or(i64::MAX),
        )),
        (Value::Table(table), "collect", []) => Ok(rows(table)),
        (Value::Table(table), "first" | "head", []) => match rows(table) {
            Value::List(list) => Ok(list.into_iter().next().unwrap_or(Value::None)),
            other => Ok(other),
        },
        _ => Err(unsupported(&format!(".{name}(…)"))),
    }
}

fn rows(table: &Table) -> Value {
    let cell = |cell: &Option<String>, type_name: &str| match cell {
        None => Value::None,
        Some(text) => match text.parse() {
            Ok(number) if matches!(type_name, "INT" | "BIGINT") => Value::Number(number),
            _ => Value::Text(text.clone()),
        },
    };
    Value::List(
        table
            .rows
            .iter()
            .map(|row| {
                let cells = row.iter().zip(&table.columns);
                Value::List(
                    cells
                        .map(|(text, column)| cell(text, column.type_name))
                        .collect(),
                )
            })
            .collect(),
    )
}
