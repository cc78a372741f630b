//! The type of a rule's expression, found when it is loaded: a rule that could fail on a message is refused before it sees one.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators};

use super::vocabulary::{FUNCTIONS, Type, VARIABLES};

/// Loops within loops: with lists of a thousand elements each more is too much work for one message.
const LOOPS_MAX: usize = 2;

/// What is wrong with an expression, and where: octets from its beginning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct TypeFault {
    /// What and what to do.
    pub(super) message: String,
    /// From where.
    pub(super) offset: Option<u32>,
}

/// What an expression uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// Variables and their fields; a variable without fields has an empty name beside it.
    pub(super) fields: Vec<(String, String)>,
    /// Regular expressions.
    pub(super) patterns: Vec<String>,
    /// Named lists.
    pub(super) lists: Vec<String>,
    /// Fields of the message that `header` and `headers` are asked for by a name in quotes, in lower case.
    pub(super) headers: Vec<String>,
}

/// Checks an expression; gives its type and what it uses.
pub(super) fn check(program: &cel::Program) -> Result<(Type, Uses), TypeFault> {
    let mut checker = Checker { program, scope: Vec::new(), loops: 0, uses: Uses::default() };
    let found = checker.of(program.expression())?;
    Ok((found, checker.uses))
}

struct Checker<'a> {
    program: &'a cel::Program,
    /// Variables of loops, the innermost last.
    scope: Vec<(String, Type)>,
    loops: usize,
    uses: Uses,
}

impl Checker<'_> {
    fn of(&mut self, expression: &IdedExpr) -> Result<Type, TypeFault> {
        let id = expression.id;
        match &expression.expr {
            Expr::Literal(literal) => self.literal(id, literal),
            Expr::Ident(name) => self.variable(id, name),
            Expr::Select(select) => self.field(id, &select.operand, &select.field),
            Expr::Call(call) => self.call(id, call),
            Expr::List(list) => self.list(id, list),
            Expr::Comprehension(comprehension) => self.comprehension(id, comprehension),
            Expr::Map(_) | Expr::Struct(_) => Err(self.fault(id, "rules have no maps and no structures")),
            Expr::Unspecified => Err(self.fault(id, "there is nothing here")),
        }
    }

    fn fault(&self, id: u64, message: impl Into<String>) -> TypeFault {
        let offset = self.program.source_info().offset_for(id).map(|(from, _)| from);
        TypeFault { message: message.into(), offset }
    }

    fn literal(&self, id: u64, literal: &LiteralValue) -> Result<Type, TypeFault> {
        match literal {
            LiteralValue::Boolean(_) => Ok(Type::Bool),
            LiteralValue::Double(_) => Ok(Type::Double),
            LiteralValue::Int(_) => Ok(Type::Int),
            LiteralValue::String(_) => Ok(Type::String),
            LiteralValue::Bytes(_) | LiteralValue::UInt(_) | LiteralValue::Null => {
                Err(self.fault(id, "rules have no octets, no unsigned numbers and no null"))
            }
        }
    }

    fn variable(&mut self, id: u64, name: &str) -> Result<Type, TypeFault> {
        if let Some((_, found)) = self.scope.iter().rev().find(|(known, _)| known == name) {
            return Ok(*found);
        }
        let known = VARIABLES.iter().find(|(known, ..)| *known == name);
        let Some((_, found, _)) = known else {
            let all: Vec<&str> = VARIABLES.iter().map(|(name, ..)| *name).collect();
            return Err(self.fault(id, format!("there is no `{name}`; there are {}", all.join(", "))));
        };
        if !matches!(found, Type::Object(_)) {
            self.uses.fields.push((name.to_owned(), String::new()));
        }
        Ok(*found)
    }

    fn field(&mut self, id: u64, operand: &IdedExpr, field: &str) -> Result<Type, TypeFault> {
        let of = self.of(operand)?;
        let Type::Object(object) = of else {
            return Err(self.fault(id, format!("a {of} has no field `{field}`")));
        };
        let Some((_, found, _)) = object.fields.iter().find(|(name, ..)| *name == field) else {
            let all: Vec<&str> = object.fields.iter().map(|(name, ..)| *name).collect();
            let all = all.join(", ");
            return Err(self.fault(id, format!("`{}` has no field `{field}`; it has {all}", object.name)));
        };
        if let Expr::Ident(variable) = &operand.expr
            && !self.scope.iter().any(|(known, _)| known == variable)
        {
            self.uses.fields.push((variable.clone(), field.to_owned()));
        }
        Ok(*found)
    }

    fn list(&mut self, id: u64, list: &ListExpr) -> Result<Type, TypeFault> {
        let mut of = Type::Any;
        for element in &list.elements {
            let found = self.of(element)?;
            if of == Type::Any {
                of = found;
            } else if of != found {
                return Err(self.fault(element.id, format!("a list of {of} can't hold a {found}")));
            }
        }
        of.list().ok_or_else(|| self.fault(id, format!("a list can't hold a {of}")))
    }

    /// What `exists`, `all`, `exists_one`, `filter` and `map` are made of.
    fn comprehension(&mut self, id: u64, loop_: &ComprehensionExpr) -> Result<Type, TypeFault> {
        let range = self.of(&loop_.iter_range)?;
        let Type::List(element) = range else {
            return Err(self.fault(loop_.iter_range.id, format!("a loop needs a list, this is a {range}")));
        };
        self.loops += 1;
        if self.loops > LOOPS_MAX {
            return Err(self.fault(id, format!("more than {LOOPS_MAX} loops within each other")));
        }
        if loop_.iter_var2.is_some() {
            return Err(self.fault(id, "loops have one variable"));
        }
        let mut accumulated = self.of(&loop_.accu_init)?;
        let depth = self.scope.len();
        self.scope.push((loop_.iter_var.clone(), *element));
        // `map` and `filter` begin with an empty list: the first round says of what.
        if accumulated == Type::List(&Type::Any) {
            self.scope.push((loop_.accu_var.clone(), accumulated));
            accumulated = self.of(&loop_.loop_step)?;
            self.scope.pop();
        }
        self.scope.push((loop_.accu_var.clone(), accumulated));
        self.expect(&loop_.loop_cond, Type::Bool)?;
        let step = self.of(&loop_.loop_step)?;
        if step != accumulated && !step.is_comparable(accumulated) {
            return Err(
                self.fault(loop_.loop_step.id, format!("a {accumulated} is needed, this is a {step}"))
            );
        }
        let result = self.of(&loop_.result)?;
        self.scope.truncate(depth);
        self.loops -= 1;
        Ok(result)
    }

    fn expect(&mut self, expression: &IdedExpr, wanted: Type) -> Result<(), TypeFault> {
        let found = self.of(expression)?;
        if found == wanted || found == Type::Any {
            return Ok(());
        }
        Err(self.fault(expression.id, format!("a {wanted} is needed, this is a {found}")))
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Result<Type, TypeFault> {
        let arguments: Vec<&IdedExpr> =
            call.target.iter().map(|target| &**target).chain(&call.args).collect();
        match (call.func_name.as_str(), arguments.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) => {
                self.expect(left, Type::Bool)?;
                self.expect(right, Type::Bool)?;
                Ok(Type::Bool)
            }
            (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, [one]) => {
                self.expect(one, Type::Bool)?;
                Ok(Type::Bool)
            }
            (operators::CONDITIONAL, [condition, then, otherwise]) => {
                self.expect(condition, Type::Bool)?;
                let (then, found) = (self.of(then)?, self.of(otherwise)?);
                if then == found || then.is_comparable(found) && matches!(then, Type::List(_)) {
                    return Ok(if then == Type::List(&Type::Any) { found } else { then });
                }
                Err(self.fault(
                    otherwise.id,
                    format!("a {then} is needed, as before the colon, this is a {found}"),
                ))
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                self.comparable(left, right)?;
                Ok(Type::Bool)
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [left, right],
            ) => {
                let found = self.comparable(left, right)?;
                if matches!(found, Type::Int | Type::Double | Type::String) {
                    return Ok(Type::Bool);
                }
                Err(self.fault(left.id, format!("a {found} is neither less nor more than another")))
            }
            (operators::IN, [element, list]) => self.in_list(element, list),
            (operators::INDEX, [list, index]) => {
                let found = self.of(list)?;
                let Type::List(of) = found else {
                    return Err(
                        self.fault(list.id, format!("only lists have numbered elements, this is a {found}"))
                    );
                };
                self.expect(index, Type::Int)?;
                Ok(*of)
            }
            (operators::NEGATE, [one]) => self.number(one),
            (operators::ADD, [left, right]) => self.sum(left, right),
            (
                operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO,
                [left, right],
            ) => {
                let wanted = self.number(left)?;
                self.expect(right, wanted)?;
                Ok(wanted)
            }
            (name @ ("contains" | "endsWith" | "startsWith"), _) if call.target.is_none() => {
                Err(self.fault(id, format!("`{name}` is asked of a text: `text.{name}(…)`")))
            }
            (name, arguments) => self.function(id, name, arguments),
        }
    }

    fn comparable(&mut self, left: &IdedExpr, right: &IdedExpr) -> Result<Type, TypeFault> {
        let (wanted, found) = (self.of(left)?, self.of(right)?);
        if wanted.is_comparable(found) {
            return Ok(wanted);
        }
        Err(self.fault(right.id, format!("a {wanted} can't be compared with a {found}")))
    }

    fn number(&mut self, expression: &IdedExpr) -> Result<Type, TypeFault> {
        match self.of(expression)? {
            number @ (Type::Int | Type::Double) => Ok(number),
            found => Err(self.fault(expression.id, format!("a number is needed, this is a {found}"))),
        }
    }

    fn sum(&mut self, left: &IdedExpr, right: &IdedExpr) -> Result<Type, TypeFault> {
        match (self.of(left)?, self.of(right)?) {
            (one, other) if one == other && matches!(one, Type::Int | Type::Double | Type::String) => Ok(one),
            (Type::List(Type::Any), list @ Type::List(_)) | (list @ Type::List(_), Type::List(Type::Any)) => {
                Ok(list)
            }
            (one @ Type::List(_), other) if one == other => Ok(one),
            (one, other) => {
                Err(self.fault(right.id, format!("a {one} and a {other} can't be added to each other")))
            }
        }
    }

    fn in_list(&mut self, element: &IdedExpr, list: &IdedExpr) -> Result<Type, TypeFault> {
        let (element, found) = (self.of(element)?, self.of(list)?);
        match found {
            Type::List(of) if of.is_comparable(element) => Ok(Type::Bool),
            Type::List(of) => Err(self.fault(list.id, format!("a {element} is never in a list of {of}"))),
            _ => Err(self.fault(list.id, format!("a list is needed behind `in`, this is a {found}"))),
        }
    }

    fn function(&mut self, id: u64, name: &str, arguments: &[&IdedExpr]) -> Result<Type, TypeFault> {
        let Some(signature) = FUNCTIONS.iter().find(|known| known.name == name) else {
            let all: Vec<&str> = FUNCTIONS.iter().map(|known| known.name).collect();
            return Err(
                self.fault(id, format!("there is no function `{name}`; there are {}", all.join(", ")))
            );
        };
        if arguments.len() != signature.takes.len() {
            let (wanted, found) = (signature.takes.len(), arguments.len());
            return Err(self.fault(id, format!("`{name}` takes {wanted} values, not {found}")));
        }
        for (argument, wanted) in arguments.iter().zip(signature.takes) {
            let of_list = name == "size" && matches!(self.of(argument)?, Type::List(_));
            if !of_list {
                self.expect(argument, *wanted)?;
            }
        }
        if let ("header" | "headers", Some(first)) = (name, arguments.first())
            && let Expr::Literal(LiteralValue::String(text)) = &first.expr
        {
            self.uses.headers.push(text.inner().to_lowercase());
        }
        let named = match name {
            "matches" => Some(&mut self.uses.patterns),
            "in_list" | "list" | "lookalike" => Some(&mut self.uses.lists),
            _ => None,
        };
        if let (Some(named), Some(last)) = (named, arguments.last()) {
            let Expr::Literal(LiteralValue::String(text)) = &last.expr else {
                return Err(
                    self.fault(last.id, format!("`{name}` needs a text in quotes here, nothing computed"))
                );
            };
            named.push(text.inner().to_owned());
        }
        Ok(signature.gives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Result<Type, String> {
        let program = cel::Program::compile(source).unwrap();
        check(&program).map(|(found, _)| found).map_err(|fault| fault.message)
    }

    #[test]
    fn types_of_good_expressions() {
        let good = |source: &str, expected: Type| assert_eq!(found(source), Ok(expected), "{source}");
        good("true", Type::Bool);
        good("message.size > 10 && auth.spf == 'pass'", Type::Bool);
        good("size(parts) > 0 || parts.size() == 0", Type::Bool);
        good(
            "parts.exists(p, p.extension in ['exe', 'js'] || p.contains.exists(n, n.endsWith('.exe')))",
            Type::Bool,
        );
        good("parts.all(p, p.size < 10)", Type::Bool);
        good("urls.exists_one(u, u.misleading)", Type::Bool);
        good("urls.map(u, u.host)", Type::List(&Type::String));
        good("urls.filter(u, u.misleading).size() > 2", Type::Bool);
        good("urls.filter(u, u.misleading).map(u, u.host).exists(h, h == 'a.test')", Type::Bool);
        good("message.from[0].name", Type::String);
        good("score + 1.5 > 3", Type::Bool);
        good("'a' + message.subject", Type::String);
        good("auth.dmarc == 'fail' ? 1 : 2", Type::Int);
        good("message.subject.lower().matches('invoice')", Type::Bool);
        good("in_list(message.from_name, 'chiefs')", Type::Bool);
        good("header('X-Spam') != ''", Type::Bool);
        good("has(message.subject)", Type::String);
        good("'a@b.test' in envelope.recipients", Type::Bool);
        good("[] == envelope.recipients", Type::Bool);
    }

    #[test]
    fn what_could_fail_is_refused() {
        let bad = |source: &str, expected: &str| {
            let message = found(source).unwrap_err();
            assert!(message.contains(expected), "{source}: {message}");
        };
        bad("mesage.size > 1", "there is no `mesage`; there are auth, connection");
        bad("message.sise > 1", "`message` has no field `sise`; it has ambiguous");
        bad("message.subject > 1", "a string can't be compared with a int");
        bad("message.size && true", "a bool is needed, this is a int");
        bad("!message.size", "a bool is needed");
        bad("message.subject.size", "a string has no field `size`");
        bad("parts.name == 'x'", "a list of part has no field `name`");
        bad("message.subject.exists(c, true)", "a loop needs a list");
        bad("unknown(1)", "there is no function `unknown`");
        bad("size(1)", "a string is needed");
        bad("lower('a', 'b') == ''", "takes 1 values, not 2");
        // The library has these of a text only: as functions they would fail on every message.
        bad("contains(message.subject, 'a')", "is asked of a text");
        bad("startsWith(message.subject, 'a')", "is asked of a text");
        bad("message.subject.matches(message.text)", "needs a text in quotes");
        bad("in_list('x', message.subject)", "needs a text in quotes");
        bad("message == message", "can't be compared");
        bad("1 in ['a']", "a int is never in a list of string");
        bad("['a', 1] == []", "a list of string can't hold a int");
        bad("parts.exists(p, parts.exists(q, parts.exists(r, true)))", "more than 2 loops");
        bad("{'a': 1}", "no maps");
        bad("b'a'", "no octets");
        bad("1 + 'a'", "can't be added");
        bad("true < false", "neither less nor more");
        bad("auth.spf == 'pass' ? 1 : 'a'", "a int is needed, as before the colon");
    }

    #[test]
    fn uses_are_found() {
        let program = cel::Program::compile(
            "message.subject.matches('a+') && parts.exists(p, in_list(p.name, 'l')) && score > 1.0",
        );
        let (_, uses) = check(&program.unwrap()).unwrap();
        let fields = [("message", "subject"), ("parts", ""), ("score", "")];
        assert_eq!(uses.fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect::<Vec<_>>(), fields);
        assert_eq!((uses.patterns, uses.lists), (vec!["a+".to_owned()], vec!["l".to_owned()]));
        let program = cel::Program::compile("header('X-Spam') != '' || size(headers('List-Id')) > 0");
        let (_, uses) = check(&program.unwrap()).unwrap();
        assert_eq!(uses.headers, ["x-spam", "list-id"]);
    }
}
