//! What is simpler than an expression or a value, the simplest first.

use super::expression::Expression;
use super::value::Value;

/// Operands of operands that are tried in place of an expression.
const MOST_DESCENDANTS: usize = 60;

/// Expressions to try in place of one: leaves, what it is made of, or itself with less in it.
pub(super) fn expressions(of: &Expression) -> Vec<Expression> {
    let leaves = [
        Expression::Bool(true),
        Expression::Bool(false),
        Expression::Long(0),
        Expression::Long(1),
        Expression::Text(String::new()),
        Expression::Text("a".to_owned()),
        Expression::Set(Vec::new()),
        Expression::Variable("resource"),
        Expression::Variable("principal"),
    ];
    let rank = leaves.iter().position(|leaf| leaf == of).unwrap_or(leaves.len());
    let mut simpler: Vec<_> = leaves.into_iter().take(rank).collect();
    simpler.extend(descendants(of).into_iter().cloned());
    match of {
        Expression::Set(elements) => simpler.extend(shorter(elements).into_iter().map(Expression::Set)),
        Expression::Record(fields) => simpler.extend(shorter(fields).into_iter().map(Expression::Record)),
        Expression::Call(name, arguments) => {
            simpler.extend(shorter(arguments).into_iter().map(|fewer| Expression::Call(name, fewer)));
        }
        Expression::Method(of, name, arguments) => {
            let fewer = shorter(arguments).into_iter();
            simpler.extend(fewer.map(|fewer| Expression::Method(of.clone(), name, fewer)));
        }
        Expression::Like(text, pattern) => {
            let fewer = shorter(pattern).into_iter();
            simpler.extend(fewer.map(|fewer| Expression::Like(text.clone(), fewer)));
        }
        Expression::Has(of, names) if names.len() > 1 => {
            let fewer = shorter(names).into_iter().filter(|names| !names.is_empty());
            simpler.extend(fewer.map(|fewer| Expression::Has(of.clone(), fewer)));
        }
        Expression::IsIn(of, name, ancestors) => {
            simpler.push(Expression::Is(of.clone(), name.clone()));
            simpler.push(of.as_ref().clone().binary("in", ancestors.as_ref().clone()));
        }
        Expression::Index(of, name) => simpler.push(of.as_ref().clone().get(name)),
        // The chain without the operand in its middle, so that any operand of a long chain can go.
        Expression::Binary(operator, left, right) => {
            if let Expression::Binary(inner, first, _) = &**left
                && inner == operator
            {
                simpler.push(Expression::Binary(operator, first.clone(), right.clone()));
            }
        }
        _ => {}
    }
    simpler
}

/// The operands of an expression, then their operands, and so on: often only one far below has the right type.
fn descendants(of: &Expression) -> Vec<&Expression> {
    let mut found = of.children();
    let mut next = 0;
    while next < found.len() && found.len() < MOST_DESCENDANTS {
        found.extend(found[next].children());
        next += 1;
    }
    found
}

/// Values to try in place of one.
pub(super) fn values(of: &Value) -> Vec<Value> {
    match of {
        Value::Bool(true) => vec![Value::Bool(false)],
        Value::Bool(false) | Value::Long(0) | Value::Entity(_) | Value::Extension(..) => Vec::new(),
        Value::Long(1) => vec![Value::Long(0)],
        Value::Long(_) => vec![Value::Long(0), Value::Long(1)],
        Value::Text(text) if text.is_empty() => Vec::new(),
        Value::Text(text) if text == "a" => vec![Value::Text(String::new())],
        Value::Text(_) => vec![Value::Text(String::new()), Value::Text("a".to_owned())],
        Value::Set(elements) => {
            let mut simpler: Vec<_> = shorter(elements).into_iter().map(Value::Set).collect();
            for (index, element) in elements.iter().enumerate().take(8) {
                simpler.extend(values(element).into_iter().map(|simpler| {
                    let mut elements = elements.clone();
                    elements[index] = simpler;
                    Value::Set(elements)
                }));
            }
            simpler
        }
        Value::Record(fields) => {
            let without = fields.keys().map(|name| {
                let mut fields = fields.clone();
                fields.remove(name);
                Value::Record(fields)
            });
            let within = fields.iter().flat_map(|(name, value)| {
                values(value).into_iter().map(|simpler| {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), simpler);
                    Value::Record(fields)
                })
            });
            without.chain(within).collect()
        }
    }
}

/// The list without either half, and without each of the first few elements.
fn shorter<T: Clone>(list: &[T]) -> Vec<Vec<T>> {
    let (left, right) = list.split_at(list.len() / 2);
    let mut shorter = Vec::new();
    if !left.is_empty() {
        shorter.extend([left.to_vec(), right.to_vec()]);
    }
    for index in 0..list.len().min(8) {
        let mut without = list.to_vec();
        without.remove(index);
        shorter.push(without);
    }
    shorter
}
