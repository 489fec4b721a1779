//! The search tree of fixed depth: by count of tokens, then by the first words.

use std::collections::HashMap;

/// A path through the tree: a word, or `None` for anything.
pub(super) type Path = Box<[Option<Box<str>>]>;

/// Words of a line that steer the search. He et al. use one to three; two keep verbs apart.
pub(super) const DEPTH: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Tree {
    by_count: HashMap<usize, Node>,
}

#[derive(Debug, Default)]
struct Node {
    words: HashMap<Box<str>, Self>,
    any: Option<Box<Self>>,
    templates: Vec<u64>,
}

impl Tree {
    /// Collects the templates that a line of `count` tokens with these first words may belong to.
    pub(super) fn find(&self, count: usize, words: &[Option<&str>], found: &mut Vec<u64>) {
        found.clear();
        let Some(root) = self.by_count.get(&count) else { return };
        let mut level = vec![root];
        for word in words {
            let mut next = Vec::with_capacity(level.len() * 2);
            for node in level {
                next.extend(word.and_then(|word| node.words.get(word)));
                next.extend(node.any.as_deref());
            }
            level = next;
        }
        level.iter().for_each(|node| found.extend(&node.templates));
    }

    /// Puts a template in and gives the path it took: where a node has `max_children` words
    /// already, a new word goes the way of anything.
    pub(super) fn insert(
        &mut self,
        count: usize,
        words: &[Option<&str>],
        id: u64,
        max_children: usize,
    ) -> Path {
        let mut node = self.by_count.entry(count).or_default();
        let mut path = Vec::with_capacity(words.len());
        for word in words {
            let room = node.words.len() < max_children;
            match word.filter(|&word| room || node.words.contains_key(word)) {
                Some(word) => {
                    path.push(Some(Box::from(word)));
                    node = node.words.entry(Box::from(word)).or_default();
                }
                None => {
                    path.push(None);
                    node = node.any.get_or_insert_default();
                }
            }
        }
        node.templates.push(id);
        path.into_boxed_slice()
    }

    /// Takes a template out, and every node that is then empty.
    pub(super) fn remove(&mut self, count: usize, path: &[Option<Box<str>>], id: u64) {
        let Some(root) = self.by_count.get_mut(&count) else { return };
        root.remove(path, id);
        if root.is_empty() {
            self.by_count.remove(&count);
        }
    }
}

impl Node {
    /// As deep as the path, which has [`DEPTH`] steps.
    fn remove(&mut self, path: &[Option<Box<str>>], id: u64) {
        match path.split_first() {
            None => self.templates.retain(|&other| other != id),
            Some((Some(word), rest)) => {
                let Some(child) = self.words.get_mut(word) else { return };
                child.remove(rest, id);
                if child.is_empty() {
                    self.words.remove(word);
                }
            }
            Some((None, rest)) => {
                let Some(child) = &mut self.any else { return };
                child.remove(rest, id);
                if child.is_empty() {
                    self.any = None;
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.any.is_none() && self.templates.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(tree: &Tree, count: usize, words: [Option<&str>; 2]) -> Vec<u64> {
        let mut found = Vec::new();
        tree.find(count, &words, &mut found);
        found
    }

    #[test]
    fn words_and_anything_are_both_searched() {
        let mut tree = Tree::default();
        tree.insert(3, &[Some("a"), Some("b")], 1, 10);
        tree.insert(3, &[Some("a"), None], 2, 10);
        tree.insert(4, &[Some("a"), Some("b")], 3, 10);
        assert_eq!(find(&tree, 3, [Some("a"), Some("b")]), [1, 2]);
        assert_eq!(find(&tree, 3, [Some("a"), Some("x")]), [2]);
        assert_eq!(find(&tree, 3, [None, Some("b")]), [0_u64; 0]);
    }

    #[test]
    fn a_full_node_sends_new_words_the_way_of_anything() {
        let mut tree = Tree::default();
        tree.insert(1, &[Some("a")], 1, 1);
        let path = tree.insert(1, &[Some("b")], 2, 1);
        assert_eq!(*path, [None]);
        let mut found = Vec::new();
        tree.find(1, &[Some("b")], &mut found);
        assert_eq!(found, [2]);
    }

    #[test]
    fn what_is_removed_leaves_no_empty_nodes() {
        let mut tree = Tree::default();
        let first = tree.insert(2, &[Some("a"), None], 1, 10);
        let second = tree.insert(2, &[Some("a"), Some("b")], 2, 10);
        tree.remove(2, &first, 1);
        assert_eq!(find(&tree, 2, [Some("a"), Some("b")]), [2]);
        tree.remove(2, &second, 2);
        assert!(tree.by_count.is_empty());
    }
}
