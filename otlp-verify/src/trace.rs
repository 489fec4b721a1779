//! A run of a model, state by state: what a counterexample is, and how it is shown.

use std::fmt::{self, Debug, Write as _};

use crate::model::Model;

/// A run from an initial state: each step names the action and the state it led to.
///
/// `Display` prints it for people, a step a paragraph; [`mermaid`](Self::mermaid) and [`dot`](Self::dot) draw it.
///
/// ```
/// use otlp_verify::spec::retry::Retry;
/// use otlp_verify::{Bfs, Verdict};
///
/// let model = Retry::try_new(3, 2, 2)?;
/// let report = Bfs::new(&model).always([Retry::given_up_is_lost()]).run();
/// let Verdict::Violated { trace, .. } = report.verdict() else { panic!("it is false on purpose") };
/// assert_eq!(trace.state_count(), 8);
/// assert!(trace.to_string().contains("8: GiveUp(1)"));
/// # Ok::<(), otlp_verify::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace<S, A> {
    first: S,
    steps: Vec<(A, S)>,
}

impl<S, A> Trace<S, A> {
    /// A run that has only its initial state.
    #[must_use]
    pub const fn new(first: S) -> Self {
        Self { first, steps: Vec::new() }
    }

    /// Appends one step.
    pub fn push(&mut self, action: A, state: S) {
        self.steps.push((action, state));
    }

    /// Number of states, the initial one included: what TLC numbers from 1.
    #[must_use]
    pub fn state_count(&self) -> usize {
        self.steps.len() + 1
    }

    /// The initial state.
    #[must_use]
    pub const fn first(&self) -> &S {
        &self.first
    }

    /// The state at the end, where the fault shows.
    #[must_use]
    pub fn last(&self) -> &S {
        self.steps.last().map_or(&self.first, |(_, state)| state)
    }

    /// The steps in order: the action, and the state it led to.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = (&A, &S)> {
        self.steps.iter().map(|(action, state)| (action, state))
    }

    /// True where `model` really allows this run: it begins in an initial state and every step is enabled
    /// and leads where the trace says.
    pub fn is_run_of<M: Model<State = S, Action = A>>(&self, model: &M) -> bool
    where
        S: PartialEq,
    {
        let mut state = &self.first;
        model.init_states().contains(state)
            && self.steps().all(|(action, next)| {
                let reached = model.step(state, action).is_some_and(|reached| reached == *next);
                state = next;
                reached
            })
    }
}

impl<S: Debug, A: Debug> Trace<S, A> {
    /// A Mermaid flowchart, top to bottom; the last state is marked.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut out = String::from("flowchart TD\n");
        let last = self.steps.len();
        let _ = writeln!(out, "  s0[\"{}\"]", mermaid_text(&format!("{:?}", self.first)));
        for (index, (action, state)) in self.steps.iter().enumerate() {
            let to = index + 1;
            let _ = writeln!(out, "  s{to}[\"{}\"]", mermaid_text(&format!("{state:?}")));
            let _ = writeln!(out, "  s{index} -->|\"{}\"| s{to}", mermaid_text(&format!("{action:?}")));
        }
        let _ = writeln!(out, "  style s{last} stroke-width:4px");
        out
    }

    /// A Graphviz digraph, top to bottom; the last state is marked.
    #[must_use]
    pub fn dot(&self) -> String {
        let mut out = String::from("digraph trace {\n  node [shape=box];\n");
        let last = self.steps.len();
        let _ = writeln!(out, "  s0 [label=\"{}\"];", dot_text(&format!("{:?}", self.first)));
        for (index, (action, state)) in self.steps.iter().enumerate() {
            let to = index + 1;
            let _ = writeln!(out, "  s{to} [label=\"{}\"];", dot_text(&format!("{state:?}")));
            let _ = writeln!(out, "  s{index} -> s{to} [label=\"{}\"];", dot_text(&format!("{action:?}")));
        }
        let _ = writeln!(out, "  s{last} [penwidth=3];\n}}");
        out
    }
}

impl<S: Debug, A: Debug> fmt::Display for Trace<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1: initial state\n   {:?}", self.first)?;
        for (index, (action, state)) in self.steps.iter().enumerate() {
            write!(f, "\n{}: {action:?}\n   {state:?}", index + 2)?;
        }
        Ok(())
    }
}

/// Mermaid reads `#` and `;` as the ends of an entity and quotes as the end of the label.
fn mermaid_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '#' => out.push_str("#35;"),
            ';' => out.push_str("#59;"),
            '"' => out.push_str("#quot;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '`' => out.push_str("#96;"),
            '\n' => out.push_str("<br/>"),
            _ => out.push(c),
        }
    }
    out
}

/// Inside a quoted Graphviz string only quotes, backslashes and line ends mean something.
fn dot_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\l")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Trace<&'static str, &'static str> {
        let mut trace = Trace::new("a \"quoted\" <state>");
        trace.push("send; #1", "end\\");
        trace
    }

    #[test]
    fn text_numbers_states_from_one() {
        let mut trace = Trace::new(0);
        trace.push("up", 1);
        trace.push("up", 2);
        assert_eq!(trace.to_string(), "1: initial state\n   0\n2: \"up\"\n   1\n3: \"up\"\n   2");
        assert_eq!((trace.first(), trace.last(), trace.state_count()), (&0, &2, 3));
    }

    #[test]
    fn mermaid_labels_cannot_break_out_of_their_quotes() {
        let drawn = sample().mermaid();
        for line in drawn.lines().filter(|line| line.contains('[') || line.contains("-->")) {
            assert_eq!(line.matches('"').count(), 2, "{line}");
            let (_, label) = line.split_once('"').expect("a label");
            let (label, _) = label.rsplit_once('"').expect("its end");
            assert!(!label.contains('<') && !label.contains('>'), "{line}");
        }
        assert!(drawn.starts_with("flowchart TD\n  s0["));
        assert!(drawn.contains("s0 -->|\"#quot;send#59; #35;1#quot;\"| s1"));
    }

    #[test]
    fn dot_labels_are_escaped() {
        let drawn = sample().dot();
        assert!(drawn.contains(r##"s0 -> s1 [label="\"send; #1\""];"##), "{drawn}");
        // Debug prints the one backslash as two, and each of the two is escaped again.
        assert!(drawn.contains(r#"s1 [label="\"end\\\\\""];"#), "{drawn}");
        assert!(drawn.ends_with("s1 [penwidth=3];\n}\n"));
    }
}
