//! The intermediate form: expressions as nodes that are shared, folded, and know what they read.
//!
//! A node is what the engine will read ([`tamis_engine::program::Node`]), so that nothing stands between this form and the code but
//! its bytes. Equal expressions are one node. What a node reads, its [`Binding`], is known when it is made: nothing of the chunk, one
//! column of it, or more. Nodes that read nothing at all are evaluated here, by the engine's own evaluator.

use std::collections::HashMap;
use std::hash::Hash;

use bumpalo::Bump;
use tamis_contract::MAX_FOOTPRINT;
use tamis_contract::frame::{Writer, tag};
use tamis_engine::evaluate::Evaluator;
use tamis_engine::program::{
    self, Binding, ColumnForm, ColumnInfo, List, Node, Op, Program, SECTIONS, Section, Source,
};
use tamis_engine::request::Request;

/// Expressions nest at most this deep once chains are balanced. The engine recurses along them, three calls a level, on the quarter
/// of a megabyte of stack that hosts give it.
pub(crate) const MAX_DEPTH: u16 = 120;

/// Items that are numbered in the order in which they first occur.
pub(crate) struct Pool<T> {
    items: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { items: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Pool<T> {
    /// The number of `item`, and whether it is new.
    fn number(&mut self, item: T) -> (u32, bool) {
        if let Some(number) = self.numbers.get(&item) {
            return (*number, false);
        }
        let number = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        self.items.push(item.clone());
        self.numbers.insert(item, number);
        (number, true)
    }

    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }
}

/// An expression that cannot be compiled, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch(pub(crate) String);

/// All expressions of a policy set, with the texts, constants, lists and columns that they refer to.
#[derive(Default)]
pub(crate) struct Ir {
    nodes: Pool<Node>,
    depths: Vec<u16>,
    texts: Pool<String>,
    constants: Pool<Vec<u8>>,
    lists: Pool<Vec<u32>>,
    list_starts: Vec<u32>,
    list_end: u32,
    columns: Vec<ColumnInfo>,
}

impl Ir {
    pub(crate) fn nodes(&self) -> &[Node] {
        self.nodes.items()
    }

    pub(crate) fn texts(&self) -> &[String] {
        self.texts.items()
    }

    pub(crate) fn constants(&self) -> &[Vec<u8>] {
        self.constants.items()
    }

    /// The numbers of all lists, one after the other.
    pub(crate) fn list_numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.lists.items().iter().flatten().copied()
    }

    pub(crate) fn columns(&self) -> &[ColumnInfo] {
        &self.columns
    }

    /// How many columns are attributes.
    fn attributes(&self) -> usize {
        self.columns.iter().filter(|info| info.source == Source::Attribute).count()
    }

    pub(crate) fn columns_mut(&mut self) -> &mut [ColumnInfo] {
        &mut self.columns
    }

    pub(crate) fn text(&mut self, text: &str) -> u32 {
        self.texts.number(text.to_owned()).0
    }

    pub(crate) fn list(&mut self, numbers: Vec<u32>) -> List {
        let length = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        let (number, new) = self.lists.number(numbers);
        if new {
            self.list_starts.push(self.list_end);
            self.list_end = self.list_end.saturating_add(length);
        }
        List { start: self.list_starts.get(number as usize).copied().unwrap_or(0), length }
    }

    /// The numbers of a list that [`Self::list`] made.
    fn numbers(&self, list: List) -> &[u32] {
        // An empty list shares its start with the next one, so the length decides as well.
        let at = self.list_starts.partition_point(|start| *start < list.start);
        let lists = self.lists.items().get(at..).unwrap_or_default();
        lists.iter().find(|numbers| numbers.len() == list.length as usize).map_or(&[], Vec::as_slice)
    }

    /// The constant whose value is written in `bytes`.
    pub(crate) fn constant(&mut self, bytes: Vec<u8>) -> Result<u32, TooMuch> {
        let (constant, _) = self.constants.number(bytes);
        self.node(Op::Constant, constant, 0, 0)
    }

    /// A constant that `write` writes.
    pub(crate) fn written(&mut self, write: impl FnOnce(&mut Writer)) -> Result<u32, TooMuch> {
        let mut writer = Writer::default();
        write(&mut writer);
        self.constant(writer.bytes)
    }

    /// The column that comes from `source`; of an attribute, the one with this `name`.
    pub(crate) fn column(&mut self, source: Source, name: &str) -> Result<u16, TooMuch> {
        let name = self.text(name);
        let known = self.columns.iter().position(|info| info.source == source && info.name == name);
        let index = match known {
            Some(index) => index,
            // No host would load it.
            None if source == Source::Attribute && self.attributes() >= MAX_FOOTPRINT => {
                return Err(TooMuch(format!(
                    "the policies read more than {MAX_FOOTPRINT} attributes of chunks"
                )));
            }
            None => {
                let form = if source == Source::Id { ColumnForm::Texts } else { ColumnForm::Codes };
                self.columns.push(ColumnInfo {
                    source,
                    form,
                    name,
                    attribute: 0,
                    converted: false,
                    declared: 0,
                });
                self.columns.len() - 1
            }
        };
        Ok(u16::try_from(index).unwrap_or(u16::MAX))
    }

    /// Marks a column as one whose values have types that depend on the chunk's type. Nodes that are made later know it.
    pub(crate) fn convert(&mut self, column: u16) -> Result<(), TooMuch> {
        if let Some(info) = self.columns.get_mut(usize::from(column)) {
            info.converted = true;
        }
        self.column(Source::EntityType, "").map(|_| ())
    }

    /// The node that does `op`, or the constant that it comes to.
    pub(crate) fn node(&mut self, op: Op, a: u32, b: u32, c: u32) -> Result<u32, TooMuch> {
        let mut node = Node { op, binding: Binding::Request, a, b, c };
        let operands = self.operands(&node);
        if let Some(folded) = self.fold(&node, &operands) {
            return self.constant(folded);
        }
        node.binding = self.binding(&node, &operands)?;
        let below = match operands.as_slice() {
            // The engine does not recurse along chains.
            [first, second]
                if op.is_chained() && self.at(*first).is_some_and(|node| node.op.is_chained()) =>
            {
                (self.depth(*first).max(self.depth(*second) + 1)).saturating_sub(1)
            }
            operands => operands.iter().map(|operand| self.depth(*operand)).max().unwrap_or(0),
        };
        if below >= MAX_DEPTH {
            return Err(TooMuch(format!("an expression nests deeper than {MAX_DEPTH} levels")));
        }
        let (number, new) = self.nodes.number(node);
        if new {
            self.depths.push(below + 1);
        }
        Ok(number)
    }

    pub(crate) fn at(&self, index: u32) -> Option<&Node> {
        self.nodes.items().get(index as usize)
    }

    fn depth(&self, index: u32) -> u16 {
        self.depths.get(index as usize).copied().unwrap_or(0)
    }

    /// The nodes that a node refers to.
    pub(crate) fn operands(&self, node: &Node) -> Vec<u32> {
        let list = || self.numbers(List { start: node.b, length: node.c });
        match node.op {
            Op::Set => list().to_vec(),
            // Pairs of a name and a node.
            Op::Record => list().iter().skip(1).step_by(2).copied().collect(),
            op => [node.a, node.b, node.c].into_iter().take(op.operands()).collect(),
        }
    }

    /// What a node reads.
    fn binding(&mut self, node: &Node, operands: &[u32]) -> Result<Binding, TooMuch> {
        let all =
            operands.iter().map(|operand| self.at(*operand).map_or(Binding::Chunk, |node| node.binding));
        let all = all.fold(Binding::Request, Binding::with);
        let of_chunk = self.at(node.a).is_some_and(|base| base.op == Op::Resource);
        let of_entity_type = |ir: &mut Self| ir.column(Source::EntityType, "").map(Binding::Column);
        Ok(match node.op {
            Op::Column | Op::HasColumn => {
                let column = u16::try_from(node.a).unwrap_or(u16::MAX);
                let converted = self.columns.get(usize::from(column)).is_some_and(|info| info.converted);
                if converted { Binding::Chunk } else { Binding::Column(column) }
            }
            Op::Resource => Binding::Chunk,
            Op::IsOneOf => {
                self.chunk_uid()?;
                Binding::Chunk
            }
            Op::IsBelow => Binding::Column(self.column(Source::Ancestors, "")?).with(all),
            Op::IsOfTypeOf => of_entity_type(self)?.with(all),
            Op::Is if of_chunk => of_entity_type(self)?,
            Op::GetTag | Op::HasTag if of_chunk => {
                let column = self.column(Source::Tags, "")?;
                let converted = self.columns.get(usize::from(column)).is_some_and(|info| info.converted);
                let name = operands
                    .get(1)
                    .and_then(|name| self.at(*name))
                    .map_or(Binding::Chunk, |node| node.binding);
                if converted { Binding::Chunk } else { Binding::Column(column).with(name) }
            }
            // See `may_be_chunk`.
            Op::In | Op::GetTag | Op::HasTag | Op::Attribute | Op::Has if node.c == 1 => Binding::Chunk,
            _ => all,
        })
    }

    fn chunk_uid(&mut self) -> Result<(), TooMuch> {
        self.column(Source::Id, "")?;
        self.column(Source::EntityType, "").map(|_| ())
    }

    /// Adds what is needed where the chunk itself is the value of an expression. Most policies name it only to ask for its attributes,
    /// and then no two chunks with the same are told apart.
    pub(crate) fn name_chunk(&mut self) -> Result<(), TooMuch> {
        let is_chunk = |index: &u32| self.at(*index).is_some_and(|node| node.op == Op::Resource);
        let is_value = |node: &Node| match node.op {
            // The engine looks at its type and its tags alone.
            Op::Is => false,
            Op::GetTag | Op::HasTag => self.operands(node).iter().skip(1).any(is_chunk),
            _ => self.operands(node).iter().any(is_chunk),
        };
        if self.nodes().iter().any(is_value) { self.chunk_uid() } else { Ok(()) }
    }

    /// Whether the value of a node may be the chunk itself, so that what it has must be looked for there.
    pub(crate) fn may_be_chunk(&self, index: u32) -> bool {
        let Some(node) = self.at(index) else { return false };
        match node.op {
            Op::Resource => true,
            Op::If => self.may_be_chunk(node.b) || self.may_be_chunk(node.c),
            Op::Record => self.operands(node).iter().any(|field| self.may_be_chunk(*field)),
            Op::Attribute => self.may_be_chunk(node.a),
            _ => false,
        }
    }

    /// The value of a node that needs nothing but constants, unless it fails: a rule that fails does so when it is asked.
    fn fold(&self, node: &Node, operands: &[u32]) -> Option<Vec<u8>> {
        match node.op {
            Op::Constant
            | Op::Principal
            | Op::Action
            | Op::Resource
            | Op::Context
            | Op::Column
            | Op::HasColumn
            // These ask the request or the chunk.
            | Op::In
            | Op::IsBelow
            | Op::IsOfTypeOf
            | Op::IsOneOf
            | Op::GetTag
            | Op::HasTag => return None,
            _ => {}
        }
        let constants: Option<Vec<&[u8]>> =
            operands.iter().map(|operand| self.constant_bytes(*operand)).collect();
        let constants = constants?;
        // What is known of an entity comes with the request.
        let of_entity = constants.first().is_some_and(|bytes| bytes.first() == Some(&tag::ENTITY));
        if matches!(node.op, Op::Attribute | Op::Has) && of_entity {
            return None;
        }
        self.evaluate(node, &constants)
    }

    fn constant_bytes(&self, index: u32) -> Option<&[u8]> {
        let node = self.at(index).filter(|node| node.op == Op::Constant)?;
        self.constants.items().get(node.a as usize).map(Vec::as_slice)
    }

    /// Runs a node over constants, as a program of its own.
    fn evaluate(&self, node: &Node, constants: &[&[u8]]) -> Option<Vec<u8>> {
        let mut small = Small::default();
        let mut wanted = *node;
        let numbers: Vec<u32> = constants.iter().map(|bytes| small.constant(bytes)).collect();
        match node.op {
            Op::Set => (wanted.b, wanted.c) = (0, small.list(&numbers)),
            Op::Record => {
                let names = self.numbers(List { start: node.b, length: node.c }).iter().step_by(2);
                let mut pairs = Vec::new();
                for (name, value) in names.zip(&numbers) {
                    pairs.extend([small.text(self.texts.items().get(*name as usize)?), *value]);
                }
                (wanted.b, wanted.c) = (0, small.list(&pairs));
            }
            Op::Like => {
                wanted.a = *numbers.first()?;
                (wanted.b, wanted.c) = (0, small.list(self.numbers(List { start: node.b, length: node.c })));
            }
            Op::Attribute | Op::Has | Op::Is => {
                wanted.a = *numbers.first()?;
                wanted.b = small.text(self.texts.items().get(node.b as usize)?);
            }
            _ => {
                let mut operands = numbers.iter().copied();
                for place in
                    [&mut wanted.a, &mut wanted.b, &mut wanted.c].into_iter().take(node.op.operands())
                {
                    *place = operands.next()?;
                }
            }
        }
        small.run(&wanted)
    }
}

/// A program of one expression over constants.
#[derive(Default)]
struct Small {
    bytes: Vec<u8>,
    texts: Vec<u8>,
    constants: Vec<u8>,
    lists: Vec<u8>,
    nodes: Vec<u8>,
}

impl Small {
    fn place(bytes: &mut Vec<u8>, index: &mut Vec<u8>, item: &[u8]) -> u32 {
        let number = u32::try_from(index.len() / 8).unwrap_or(u32::MAX);
        for place in [bytes.len(), item.len()] {
            index.extend_from_slice(&u32::try_from(place).unwrap_or(u32::MAX).to_le_bytes());
        }
        bytes.extend_from_slice(item);
        number
    }

    fn text(&mut self, text: &str) -> u32 {
        Self::place(&mut self.bytes, &mut self.texts, text.as_bytes())
    }

    /// A node for a constant.
    fn constant(&mut self, value: &[u8]) -> u32 {
        let a = Self::place(&mut self.bytes, &mut self.constants, value);
        self.node(&Node { op: Op::Constant, binding: Binding::Request, a, b: 0, c: 0 })
    }

    fn node(&mut self, node: &Node) -> u32 {
        let number = u32::try_from(self.nodes.len() / 4 / program::width::NODE).unwrap_or(u32::MAX);
        self.nodes.extend(node.encode().iter().flat_map(|number| number.to_le_bytes()));
        number
    }

    /// The only list: its length.
    fn list(&mut self, numbers: &[u32]) -> u32 {
        self.lists.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        u32::try_from(numbers.len()).unwrap_or(u32::MAX)
    }

    fn run(mut self, node: &Node) -> Option<Vec<u8>> {
        let wanted = self.node(node);
        let mut sections: [&[u8]; SECTIONS] = [&[]; SECTIONS];
        for (section, bytes) in [
            (Section::Bytes, &self.bytes),
            (Section::Texts, &self.texts),
            (Section::Constants, &self.constants),
            (Section::Lists, &self.lists),
            (Section::Nodes, &self.nodes),
        ] {
            *sections.get_mut(section as usize)? = bytes;
        }
        let bytes = program::assemble(sections);
        let program = Program::new(&bytes).ok()?;
        let arena = Bump::new();
        let request = Request::nobody();
        let value = Evaluator::new(program, &request, &arena).value(wanted)?;
        let mut writer = Writer::default();
        writer.value(&value);
        Some(writer.bytes)
    }
}
