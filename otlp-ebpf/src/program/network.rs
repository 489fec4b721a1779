//! The hook at the sockets of control groups: TCP segments in and out.

use std::path::PathBuf;

use super::{Buffer, Loaded, Point, Settings, object, plan};
use crate::error::Result;

const HOOK: &str = "network";

/// Loads the programs and attaches them to these control groups, and so to those below them.
pub(crate) fn attach(settings: &Settings, groups: &[PathBuf]) -> Result<Loaded> {
    // Linux tells these programs the network since 6.15; before, all loopback networks are taken for one. What is known of
    // helpers without loading the program is not to be relied on.
    let has_netns = settings.buffer != Buffer::PerProcessor;
    attach_with(settings, groups, has_netns).or_else(|_| attach_with(settings, groups, false))
}

fn attach_with(settings: &Settings, groups: &[PathBuf], has_netns: bool) -> Result<Loaded> {
    let plan = match settings.buffer {
        Buffer::PerProcessor => plan(HOOK, object!("network_per_cpu.o"), settings),
        Buffer::Auto | Buffer::Ring => plan(HOOK, object!("network.o"), settings)
            .flag("HAS_NETNS", has_netns)
            .flag("FRAMES", settings.frames),
    };
    let plan = plan
        .flag("SKIP_TLS", settings.skip_tls)
        .stand("network_out", Point::Egress(groups))
        .stand("network_in", Point::Ingress(groups));
    Loaded::new(settings.loader.load(&plan)?, HOOK, settings)
}

#[cfg(test)]
mod tests {
    use super::object;
    use crate::resolve::elf::Elf;

    /// Instructions of these sections that do more to memory at once than to add to it, which kernels before Linux 5.12 do
    /// not know.
    fn other_atomics(object: &[u8], sections: &[&str]) -> usize {
        let elf = Elf::read(object).unwrap();
        let sections = sections.iter().filter_map(|name| elf.section(name));
        let code: Vec<u8> = sections.flat_map(|section| elf.section_bytes(&section).unwrap()).collect();
        assert!(code.len() > 4096);
        // Of 32 or 64 bits; to add is number 0.
        let is_atomic = |row: &&[u8]| matches!(row[0], 0xc3 | 0xdb) && row[4..] != [0; 4];
        code.chunks_exact(8).filter(is_atomic).count()
    }

    #[test]
    fn what_sees_the_network_needs_no_atomic_instructions_of_newer_kernels() {
        let sections = [".text", "cgroup_skb/egress", "cgroup_skb/ingress"];
        assert_eq!(other_atomics(&object!("network_per_cpu.o"), &sections), 0);
        assert_eq!(other_atomics(&object!("network.o"), &sections), 0);
        // The twin: what sees system calls has them.
        assert!(other_atomics(&object!("process.o"), &[".text"]) > 0);
    }
}
