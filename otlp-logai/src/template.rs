//! Finding the templates of log lines as they come.

mod mask;
mod store;
mod token;
mod tree;

use std::collections::{BTreeMap, HashSet};

use self::mask::Class;
use self::store::{Relation, Slot};
pub use self::store::{Template, TemplateId};
use self::token::{Token, Tokens};
use self::tree::{DEPTH, Tree};
use crate::limits::Limits;

/// Finds the templates of log messages one line at a time, in bounded memory.
///
/// After Drain (P. He, J. Zhu, Z. Zheng, M. R. Lyu, "Drain: An Online Log Parsing Approach with Fixed
/// Depth Tree", ICWS 2017): lines go by their count of tokens and their first words to a few candidate
/// templates, of which the most similar is taken and widened. What differs from the paper:
///
/// - numbers, addresses, identifiers, paths and the like are masked by a tokenizer without regular
///   expressions, and `key=value` is two tokens, so that a value may vary and its key may not;
/// - a plain word of the message is not widened at first sight, or `charge declined` and `charge
///   accepted` would be one: only where it was seen with [four](VARIETY) different words in its place,
///   and then the templates that it kept apart become one.
///
/// The same lines in the same order give the same templates.
///
/// ```
/// use otlp_logai::{Limits, TemplateMiner};
/// let mut miner = TemplateMiner::new(&Limits::default());
/// let first = miner.observe("charge declined amount=1299 reason=issuer_timeout");
/// let second = miner.observe("charge declined amount=250 reason=no_funds");
/// assert!(first.is_new && !second.is_new);
/// let template = miner.template(first.id).ok_or("dropped")?;
/// assert_eq!(template.to_string(), "charge declined amount=<num> reason=<*>");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TemplateMiner {
    limits: Limits,
    tree: Tree,
    templates: BTreeMap<TemplateId, Template>,
    next_id: u64,
    stats: MinerStats,
    tokens: Tokens,
    found: Vec<u64>,
}

/// What became of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observation {
    /// The template that the line belongs to.
    pub id: TemplateId,
    /// True where no line like it was seen before.
    pub is_new: bool,
    /// Templates that became part of this one and are no more.
    pub absorbed: Vec<TemplateId>,
    /// The template that was dropped to make room.
    pub evicted: Option<TemplateId>,
}

/// The account of a [`TemplateMiner`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct MinerStats {
    /// Lines seen.
    pub lines: u64,
    /// Templates made.
    pub created: u64,
    /// Templates that became part of another.
    pub absorbed: u64,
    /// Templates dropped to make room: too many kinds of lines for the bound.
    pub evicted: u64,
    /// Lines of more tokens than the bound.
    pub cut: u64,
}

/// What is sorted in: a line, or the template of another miner.
struct Incoming<'a> {
    line: &'a [Token<'a>],
    count: u64,
    is_cut: bool,
}

/// Different words in one place that make the place a variable.
pub const VARIETY: usize = 4;

/// The part of a line's tokens that must be those of the template; the paper has 0.4 to 0.6.
const SIMILARITY: f64 = 0.5;

impl TemplateMiner {
    /// An empty miner.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            tree: Tree::default(),
            templates: BTreeMap::new(),
            next_id: 0,
            stats: MinerStats::default(),
            tokens: Tokens::default(),
            found: Vec::new(),
        }
    }

    /// Sorts one message in. Costs O(tokens × candidates), and O(templates) where one is dropped.
    pub fn observe(&mut self, message: &str) -> Observation {
        let mut tokens = std::mem::take(&mut self.tokens);
        tokens.cut(message, self.limits.tokens());
        self.stats.lines += 1;
        self.stats.cut += u64::from(tokens.left_out > 0);
        let line: Vec<Token<'_>> = tokens.iter().collect();
        let observation = self.place(&Incoming { line: &line, count: 1, is_cut: tokens.left_out > 0 });
        drop(line);
        self.tokens = tokens;
        observation
    }

    /// Takes over the templates and counts of another miner.
    ///
    /// Identifiers of the other are not kept. Widening depends on order, so that the templates of two
    /// parts merged need not be those of the whole; the sum of the counts is.
    ///
    /// ```
    /// use otlp_logai::{Limits, TemplateMiner};
    /// let (mut a, mut b) = (TemplateMiner::new(&Limits::default()), TemplateMiner::new(&Limits::default()));
    /// a.observe("user 7 logged in");
    /// b.observe("user 8 logged in");
    /// a.merge(&b);
    /// let counts: Vec<_> = a.templates().map(|template| (template.to_string(), template.count())).collect();
    /// assert_eq!(counts, [("user <num> logged in".to_owned(), 2)]);
    /// ```
    pub fn merge(&mut self, other: &Self) {
        for template in other.templates.values() {
            let line: Vec<_> = template.tokens().collect();
            self.place(&Incoming { line: &line, count: template.count, is_cut: template.is_cut });
        }
        self.stats.lines += other.stats.lines;
        self.stats.cut += other.stats.cut;
    }

    /// The template of this name, unless it was dropped or absorbed.
    #[must_use]
    pub fn template(&self, id: TemplateId) -> Option<&Template> {
        self.templates.get(&id)
    }

    /// All templates, oldest first.
    pub fn templates(&self) -> impl ExactSizeIterator<Item = &Template> {
        self.templates.values()
    }

    /// The account so far.
    #[must_use]
    pub fn stats(&self) -> MinerStats {
        self.stats
    }

    fn place(&mut self, incoming: &Incoming<'_>) -> Observation {
        let line = incoming.line;
        let mut found = std::mem::take(&mut self.found);
        self.tree.find(line.len(), &steering_words(line), &mut found);
        let observation = match self.best(line, &found) {
            Some(id) => {
                self.join(id, incoming);
                Observation { id, is_new: false, absorbed: Vec::new(), evicted: None }
            }
            None => self.create(incoming, &found),
        };
        self.found = found;
        observation
    }

    /// The most similar template that differs in nothing but what may vary; of equals the oldest.
    fn best(&self, line: &[Token<'_>], found: &[u64]) -> Option<TemplateId> {
        let mut best: Option<(f64, TemplateId)> = None;
        for &id in found {
            let Some(template) = self.templates.get(&TemplateId(id)) else { continue };
            let comparison = template.compare(line);
            let similarity = comparison.similarity();
            let fits = comparison.plain == 0 && comparison.never == 0 && similarity >= SIMILARITY;
            if fits && best.is_none_or(|(other, _)| similarity > other) {
                best = Some((similarity, template.id));
            }
        }
        best.map(|(_, id)| id)
    }

    fn join(&mut self, id: TemplateId, incoming: &Incoming<'_>) {
        let now = self.stats.lines;
        let Some(template) = self.templates.get_mut(&id) else { return };
        template.widen(incoming.line);
        template.count += incoming.count;
        template.last_used = now;
        template.is_cut |= incoming.is_cut;
    }

    fn create(&mut self, incoming: &Incoming<'_>, found: &[u64]) -> Observation {
        let &Incoming { line, count, is_cut } = incoming;
        let varying = self.varying(line, found);
        // A template that is about to become part of the new one makes its own room.
        let evicted = if varying.is_empty() { self.make_room() } else { None };
        let id = TemplateId(self.next_id);
        self.next_id += 1;
        self.stats.created += 1;
        let path = self.tree.insert(line.len(), &steering_words(line), id.0, self.limits.children());
        let slots = line.iter().map(|&token| Slot::of(token)).collect();
        let template = Template { id, slots, count, last_used: self.stats.lines, path, is_cut };
        self.templates.insert(id, template);
        let (id, absorbed) = self.unite(id, varying);
        Observation { id, is_new: absorbed.is_empty(), absorbed, evicted }
    }

    /// The templates that differ from the line only in places where enough different words were seen.
    fn varying(&self, line: &[Token<'_>], found: &[u64]) -> Vec<TemplateId> {
        let siblings: Vec<_> = found
            .iter()
            .filter_map(|&id| self.templates.get(&TemplateId(id)))
            .filter(|template| template.compare(line).similarity() >= SIMILARITY)
            .collect();
        if siblings.len() + 1 < VARIETY {
            return Vec::new();
        }
        let mut variable = vec![false; line.len()];
        for (at, (place, token)) in variable.iter_mut().zip(line).enumerate() {
            let word_at =
                |template: &&&Template| template.slots.get(at).is_some_and(|slot| slot.class == Class::Plain);
            let mut words: HashSet<&str> = HashSet::from([token.text]);
            let seen = siblings.iter().filter(word_at).filter_map(|template| template.slots.get(at));
            words.extend(seen.map(|slot| &*slot.text));
            *place = token.class == Class::Plain && words.len() >= VARIETY;
        }
        let agrees = |template: &&&Template| {
            template.slots.iter().zip(line).zip(&variable).all(|((slot, token), &variable)| {
                match slot.relation(*token) {
                    Relation::Same | Relation::MayVary => true,
                    Relation::OtherWord => variable,
                    Relation::Never => false,
                }
            })
        };
        siblings.iter().filter(agrees).map(|template| template.id).collect()
    }

    /// Makes one template of several: the oldest, widened by the others.
    fn unite(&mut self, id: TemplateId, mut others: Vec<TemplateId>) -> (TemplateId, Vec<TemplateId>) {
        if others.is_empty() {
            return (id, others);
        }
        others.push(id);
        others.sort_unstable();
        let survivor = others.remove(0);
        let mut absorbed = Vec::with_capacity(others.len());
        for other in others {
            let Some(template) = self.remove(other) else { continue };
            let line: Vec<_> = template.tokens().collect();
            let incoming = Incoming { line: &line, count: template.count, is_cut: template.is_cut };
            self.join(survivor, &incoming);
            self.stats.absorbed += 1;
            absorbed.push(other);
        }
        (survivor, absorbed)
    }

    fn make_room(&mut self) -> Option<TemplateId> {
        if self.templates.len() < self.limits.templates().max(1) {
            return None;
        }
        let oldest = self.templates.values().min_by_key(|template| (template.last_used, template.id))?.id;
        self.remove(oldest);
        self.stats.evicted += 1;
        Some(oldest)
    }

    fn remove(&mut self, id: TemplateId) -> Option<Template> {
        let template = self.templates.remove(&id)?;
        self.tree.remove(template.slots.len(), &template.path, id.0);
        Some(template)
    }
}

/// The first words of a line, `None` where a word may vary.
fn steering_words<'a>(line: &[Token<'a>]) -> Vec<Option<&'a str>> {
    let word = |token: &Token<'a>| {
        let steers = matches!(token.class, Class::Plain | Class::Key)
            && !token.text.bytes().any(|byte| byte.is_ascii_digit());
        steers.then_some(token.text)
    };
    line.iter().take(DEPTH).map(word).collect()
}
