//! What can be said of a rule without the library: most rules are comparisons, joined with `&&` and `||`.
//!
//! The library binds every fact into values of its own and walks the expression with them; that is most of what a rule costs. Here the same expression is asked
//! of the facts as they are. What is not known here is [`None`], and then the library is asked: `false && x` is false and `true || x` is true whatever `x` is,
//! an error among it (the CEL specification, "Logical operators"), so that much is settled even where something is not known, and the side that costs less is
//! asked first. Nothing here can fail.

use std::borrow::Cow;
use std::cmp::Ordering;

use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::objects::KeyRef;
use cel::{Program, Value};

use super::facts::{self, Facts};
use super::functions::{in_network, is_under};
use super::load::{FactNames, RuleSet};

/// An expression, as far as it is known here.
#[derive(Debug)]
pub(super) enum Shortcut {
    Literal(Literal),
    /// Where it stands among the names, and what it costs.
    Fact(usize, u32),
    Score,
    /// What a loop looks at, by how many loops are around it.
    Local(usize),
    LocalField(usize, String),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Compare(Comparison, Box<Self>, Box<Self>),
    In(Box<Self>, Box<Self>),
    Call(Function, Vec<Self>),
    /// `exists`, or `all`.
    Loop {
        is_all: bool,
        list: Box<Self>,
        each: Box<Self>,
    },
    /// For the library.
    Unknown,
}

#[derive(Debug)]
pub(super) enum Literal {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Texts(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Contains,
    EndsWith,
    Header,
    InList,
    InNetwork,
    IsUnder,
    Lookalike,
    Lower,
    Matches,
    Size,
    StartsWith,
}

/// What rules are asked about.
pub(super) struct Scene<'a, 'm> {
    pub(super) facts: &'a Facts<'m>,
    pub(super) rules: &'a RuleSet,
    pub(super) score: f64,
}

/// How often a loop asks, for what that costs: most lists have few elements.
const LOOP_COST: u32 = 4;

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
enum Found<'a> {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    Texts(&'a [String]),
    List(&'a [Value]),
}

impl Shortcut {
    /// Reads an expression that was checked. `names` are those of the facts that it will be asked of.
    pub(super) fn of(program: &Program, names: &FactNames) -> Self {
        Reader { names, loops: Vec::new() }.read(program.expression())
    }

    /// Whether the rule fits; [`None`]: the library must be asked.
    pub(super) fn ask(&self, scene: &Scene<'_, '_>) -> Option<bool> {
        self.truth(scene, &mut Vec::new())
    }

    fn truth<'a>(&'a self, scene: &Scene<'a, '_>, locals: &mut Vec<&'a Value>) -> Option<bool> {
        match self.find(scene, locals)? {
            Found::Bool(found) => Some(found),
            _ => None,
        }
    }

    fn find<'a>(&'a self, scene: &Scene<'a, '_>, locals: &mut Vec<&'a Value>) -> Option<Found<'a>> {
        match self {
            Self::Literal(literal) => Some(match literal {
                Literal::Bool(found) => Found::Bool(*found),
                Literal::Int(found) => Found::Int(*found),
                Literal::Double(found) => Found::Double(*found),
                Literal::Text(found) => Found::Text(Cow::Borrowed(found)),
                Literal::Texts(found) => Found::Texts(found),
            }),
            Self::Score => Some(Found::Double(scene.score)),
            Self::Fact(at, _) => Found::of(scene.facts.get(*at)?),
            Self::Local(at) => Found::of(locals.get(*at)?),
            Self::LocalField(at, name) => field(locals.get(*at)?, name),
            Self::Not(one) => one.truth(scene, locals).map(|found| Found::Bool(!found)),
            Self::And(one, other) => {
                join(false, one.truth(scene, locals), || other.truth(scene, locals)).map(Found::Bool)
            }
            Self::Or(one, other) => {
                join(true, one.truth(scene, locals), || other.truth(scene, locals)).map(Found::Bool)
            }
            Self::Compare(comparison, one, other) => {
                let (one, other) = (one.find(scene, locals)?, other.find(scene, locals)?);
                compare(*comparison, &one, &other).map(Found::Bool)
            }
            Self::In(one, list) => {
                let (one, list) = (one.find(scene, locals)?, list.find(scene, locals)?);
                is_in(&one, &list).map(Found::Bool)
            }
            Self::Call(function, arguments) => function.call(arguments, scene, locals),
            Self::Loop { is_all, list, each } => {
                let Found::List(list) = list.find(scene, locals)? else { return None };
                // `exists` is settled by one that is true, `all` by one that is not.
                let settles = !is_all;
                let mut known = true;
                for element in list {
                    locals.push(element);
                    let found = each.truth(scene, locals);
                    locals.pop();
                    match found {
                        Some(found) if found == settles => return Some(Found::Bool(settles)),
                        Some(_) => {}
                        None => known = false,
                    }
                }
                known.then_some(Found::Bool(*is_all))
            }
            Self::Unknown => None,
        }
    }

    /// What it takes to find out, beside others. What is not known here is asked last: it settles nothing.
    fn cost(&self) -> u32 {
        let sum = |all: &[Self]| all.iter().fold(0, |sum: u32, one| sum.saturating_add(one.cost()));
        match self {
            Self::Literal(_) | Self::Score | Self::Local(_) | Self::LocalField(..) => 0,
            Self::Fact(_, cost) => *cost,
            Self::Not(one) => one.cost(),
            Self::And(one, other)
            | Self::Or(one, other)
            | Self::Compare(_, one, other)
            | Self::In(one, other) => one.cost().saturating_add(other.cost()),
            Self::Call(function, arguments) => sum(arguments).saturating_add(function.cost()),
            Self::Loop { list, each, .. } => {
                list.cost().saturating_add(each.cost().saturating_mul(LOOP_COST)).saturating_add(1)
            }
            Self::Unknown => u32::MAX,
        }
    }

    /// Both, the one that costs less first; as they stand when they cost the same.
    fn ordered(one: Box<Self>, other: Box<Self>) -> (Box<Self>, Box<Self>) {
        if other.cost() < one.cost() { (other, one) } else { (one, other) }
    }
}

/// `&&` (settled by false) or `||` (settled by true).
fn join(settles: bool, one: Option<bool>, other: impl FnOnce() -> Option<bool>) -> Option<bool> {
    if one == Some(settles) {
        return one;
    }
    match (one, other()) {
        (_, Some(other)) if other == settles => Some(settles),
        (Some(_), Some(_)) => Some(!settles),
        _ => None,
    }
}

impl<'a> Found<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        Some(match value {
            Value::Bool(found) => Self::Bool(*found),
            Value::Int(found) => Self::Int(*found),
            Value::Float(found) => Self::Double(*found),
            Value::String(found) => Self::Text(Cow::Borrowed(found)),
            Value::List(found) => Self::List(found),
            _ => return None,
        })
    }
}

fn field<'a>(object: &'a Value, name: &str) -> Option<Found<'a>> {
    match object {
        Value::Map(map) => Found::of(map.get(&KeyRef::String(name))?),
        _ => None,
    }
}

/// Two of one kind; others the library compares.
fn compare(comparison: Comparison, one: &Found<'_>, other: &Found<'_>) -> Option<bool> {
    let order = match (one, other) {
        (Found::Bool(one), Found::Bool(other)) => {
            return match comparison {
                Comparison::Equal => Some(one == other),
                Comparison::NotEqual => Some(one != other),
                _ => None,
            };
        }
        (Found::Int(one), Found::Int(other)) => one.cmp(other),
        (Found::Double(one), Found::Double(other)) => one.partial_cmp(other)?,
        (Found::Text(one), Found::Text(other)) => one.cmp(other),
        _ => return None,
    };
    Some(match comparison {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
    })
}

fn is_in(one: &Found<'_>, list: &Found<'_>) -> Option<bool> {
    match (one, list) {
        (Found::Text(one), Found::Texts(list)) => Some(list.iter().any(|text| text == one)),
        (Found::Text(one), Found::List(list)) => {
            // Lists are of one type: what the first one is, all are.
            match list.first() {
                None => Some(false),
                Some(Value::String(_)) => Some(list.iter().any(|value| match value {
                    Value::String(text) => ***text == **one,
                    _ => false,
                })),
                Some(_) => None,
            }
        }
        _ => None,
    }
}

impl Function {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "contains" => Self::Contains,
            "endsWith" => Self::EndsWith,
            "header" => Self::Header,
            "in_list" => Self::InList,
            "in_network" => Self::InNetwork,
            "is_under" => Self::IsUnder,
            "lookalike" => Self::Lookalike,
            "lower" => Self::Lower,
            "matches" => Self::Matches,
            "size" => Self::Size,
            "startsWith" => Self::StartsWith,
            _ => return None,
        })
    }

    /// Beside what its arguments cost.
    const fn cost(self) -> u32 {
        match self {
            Self::Lookalike | Self::Matches => 8,
            Self::Header => 4,
            Self::Contains | Self::InList | Self::InNetwork | Self::IsUnder | Self::Lower => 2,
            Self::EndsWith | Self::Size | Self::StartsWith => 1,
        }
    }

    fn call<'a>(
        self,
        arguments: &'a [Shortcut],
        scene: &Scene<'a, '_>,
        locals: &mut Vec<&'a Value>,
    ) -> Option<Found<'a>> {
        if self == Self::Size {
            return match arguments.first()?.find(scene, locals)? {
                Found::List(list) => i64::try_from(list.len()).ok().map(Found::Int),
                _ => None,
            };
        }
        let mut text = |at: usize| match arguments.get(at)?.find(scene, locals)? {
            Found::Text(text) => Some(text),
            _ => None,
        };
        let first = text(0)?;
        let found = match self {
            Self::Header => {
                return Some(Found::Text(scene.facts.first_field(&first).unwrap_or_default().into()));
            }
            Self::Lower => return Some(Found::Text(first.to_lowercase().into())),
            Self::Contains => first.contains(&*text(1)?),
            Self::EndsWith => first.ends_with(&*text(1)?),
            Self::StartsWith => first.starts_with(&*text(1)?),
            Self::InList => scene.rules.lists.get(&*text(1)?)?.holds(&first),
            Self::Lookalike => scene.rules.lists.get(&*text(1)?)?.is_imitated_by(&first),
            Self::Matches => scene.rules.patterns.get(&*text(1)?)?.is_match(&first),
            Self::InNetwork => in_network(&first, &text(1)?),
            Self::IsUnder => is_under(&first, &text(1)?),
            Self::Size => return None,
        };
        Some(Found::Bool(found))
    }
}

/// Reads the library's tree.
struct Reader<'a> {
    names: &'a FactNames,
    /// Variables of loops, the innermost last.
    loops: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    fn read(&mut self, expression: &'a IdedExpr) -> Shortcut {
        match &expression.expr {
            Expr::Literal(literal) => Self::literal(literal).map_or(Shortcut::Unknown, Shortcut::Literal),
            Expr::Ident(name) => match self.local(name) {
                Some(at) => Shortcut::Local(at),
                None if name == "score" => Shortcut::Score,
                None => self.fact(name, ""),
            },
            Expr::Select(select) if !select.test => match &select.operand.expr {
                Expr::Ident(name) => match self.local(name) {
                    Some(at) => Shortcut::LocalField(at, select.field.clone()),
                    None => self.fact(name, &select.field),
                },
                _ => Shortcut::Unknown,
            },
            Expr::List(list) => {
                let text = |element: &IdedExpr| match &element.expr {
                    Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
                    _ => None,
                };
                let texts: Option<Vec<String>> = list.elements.iter().map(text).collect();
                texts.map_or(Shortcut::Unknown, |texts| Shortcut::Literal(Literal::Texts(texts)))
            }
            Expr::Call(call) => {
                let arguments = call.target.iter().map(|target| &**target).chain(&call.args);
                let arguments: Vec<Shortcut> = arguments.map(|argument| self.read(argument)).collect();
                Self::call(&call.func_name, arguments)
            }
            Expr::Comprehension(found) => self.read_loop(found).unwrap_or(Shortcut::Unknown),
            Expr::Select(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => Shortcut::Unknown,
        }
    }

    /// The innermost loop whose variable has this name.
    fn local(&self, name: &str) -> Option<usize> {
        self.loops.iter().rposition(|known| *known == name)
    }

    fn fact(&self, variable: &str, field: &str) -> Shortcut {
        let found = self.names.iter().position(|(name, of)| name == variable && of == field);
        found.map_or(Shortcut::Unknown, |at| Shortcut::Fact(at, facts::cost(variable, field)))
    }

    fn literal(literal: &LiteralValue) -> Option<Literal> {
        Some(match literal {
            LiteralValue::Boolean(found) => Literal::Bool(*found.inner()),
            LiteralValue::Int(found) => Literal::Int(*found.inner()),
            LiteralValue::Double(found) => Literal::Double(*found.inner()),
            LiteralValue::String(found) => Literal::Text(found.inner().to_owned()),
            LiteralValue::Bytes(_) | LiteralValue::UInt(_) | LiteralValue::Null => return None,
        })
    }

    fn call(name: &str, arguments: Vec<Shortcut>) -> Shortcut {
        let comparison = match name {
            operators::EQUALS => Some(Comparison::Equal),
            operators::NOT_EQUALS => Some(Comparison::NotEqual),
            operators::LESS => Some(Comparison::Less),
            operators::LESS_EQUALS => Some(Comparison::LessOrEqual),
            operators::GREATER => Some(Comparison::Greater),
            operators::GREATER_EQUALS => Some(Comparison::GreaterOrEqual),
            _ => None,
        };
        let is_unknown = |one: &Shortcut| matches!(one, Shortcut::Unknown);
        // Only `&&` and `||` may be settled although a part of them is unknown.
        let joins = [operators::LOGICAL_AND, operators::LOGICAL_OR].contains(&name);
        if arguments.iter().all(is_unknown) || !joins && arguments.iter().any(is_unknown) {
            return Shortcut::Unknown;
        }
        if let Some(function) = Function::named(name) {
            return Shortcut::Call(function, arguments);
        }
        let mut arguments = arguments.into_iter().map(Box::new);
        match (name, comparison, arguments.next(), arguments.next(), arguments.next()) {
            (_, Some(comparison), Some(one), Some(other), None) => Shortcut::Compare(comparison, one, other),
            (operators::LOGICAL_AND, _, Some(one), Some(other), None) => {
                let (one, other) = Shortcut::ordered(one, other);
                Shortcut::And(one, other)
            }
            (operators::LOGICAL_OR, _, Some(one), Some(other), None) => {
                let (one, other) = Shortcut::ordered(one, other);
                Shortcut::Or(one, other)
            }
            (operators::IN, _, Some(one), Some(list), None) => Shortcut::In(one, list),
            (operators::LOGICAL_NOT, _, Some(one), None, None) => Shortcut::Not(one),
            _ => Shortcut::Unknown,
        }
    }

    /// `exists` is `@result || each` from false on, `all` is `@result && each` from true on.
    fn read_loop(&mut self, found: &'a ComprehensionExpr) -> Option<Shortcut> {
        let Expr::Literal(LiteralValue::Boolean(begins)) = &found.accu_init.expr else { return None };
        let Expr::Call(step) = &found.loop_step.expr else { return None };
        let is_all = *begins.inner();
        let joins = if is_all { operators::LOGICAL_AND } else { operators::LOGICAL_OR };
        let is_result = |one: &IdedExpr| matches!(&one.expr, Expr::Ident(name) if *name == found.accu_var);
        let [result, each] = step.args.as_slice() else { return None };
        if step.func_name != joins || step.target.is_some() || !is_result(result) || !is_result(&found.result)
        {
            return None;
        }
        let list = Box::new(self.read(&found.iter_range));
        self.loops.push(&found.iter_var);
        let each = Box::new(self.read(each));
        self.loops.pop();
        if matches!((&*list, &*each), (Shortcut::Unknown, _) | (_, Shortcut::Unknown)) {
            return None;
        }
        Some(Shortcut::Loop { is_all, list, each })
    }
}

#[cfg(test)]
mod tests;
