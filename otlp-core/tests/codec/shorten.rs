//! The least input that still shows a fault.

use crate::chunk::{self, Chunk};
use crate::tree::Type;

/// Takes fields out of `body`, then bytes, as long as it still fails.
pub(crate) fn shortened(root: Type, body: &[u8], fails: &dyn Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut least = body.to_vec();
    let mut at = 0;
    while let Some(without) = without(root, &least, &mut at.clone()) {
        if fails(&without) { least = without } else { at += 1 }
    }
    for size in (1..=8).rev() {
        let mut at = 0;
        while at + size <= least.len() {
            let without = [&least[..at], &least[at + size..]].concat();
            if fails(&without) { least = without } else { at += 1 }
        }
    }
    least
}

/// The message without its field number `at`, fields within fields counted; `None` where there are fewer.
fn without(kind: Type, message: &[u8], at: &mut usize) -> Option<Vec<u8>> {
    let mut chunks = chunk::split(message);
    for index in 0..chunks.len() {
        if *at == 0 {
            chunks.remove(index);
            return Some(chunk::join(&chunks));
        }
        *at -= 1;
        if let (Some((child, _)), Some(content)) = (kind.child(chunks[index].number), chunks[index].content())
            && let Some(content) = without(child, content, at)
        {
            chunks[index] = Chunk::delimited(chunks[index].number, &content);
            return Some(chunk::join(&chunks));
        }
    }
    None
}
