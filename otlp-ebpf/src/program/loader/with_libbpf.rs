//! Programs loaded by libbpf. Its maps are handed on by their descriptors, and read as those of aya are.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::Once;

use aya::maps::{Map, MapData};
use libbpf_rs::btf::{Btf, types};
use libbpf_rs::{
    Link, MapCore, Object, ObjectBuilder, OpenObject, ProgramAttachType, ProgramMut, UprobeMultiOpts,
    UprobeOpts,
};

use super::{Plan, Point};
use crate::error::{Error, ErrorKind, Result};
use crate::program::{Library, failed, no_map, no_program, open_group};
use crate::resolve::elf::Elf;

/// Every process.
const ALL: i32 = -1;

/// An object that was loaded.
pub(in crate::program) struct Loaded {
    /// First, so that it is gone before the programs are.
    links: Vec<Link>,
    object: Object,
    /// One link may stand for many places.
    has_multi: bool,
}

impl Loaded {
    pub(super) fn load(plan: &Plan<'_>) -> Result<Self> {
        // What it would print is in the errors that it returns; the printer is one for the whole process.
        static QUIET: Once = Once::new();
        QUIET.call_once(|| {
            libbpf_rs::set_print(None);
        });
        let hook = plan.hook;
        let mut opened = ObjectBuilder::default()
            .open_memory(&plan.object)
            .map_err(|error| refused(hook, "opening its object", &error))?;
        let kernel = Btf::from_vmlinux().ok();
        let has_multi = kernel.as_ref().is_some_and(has_links_of_many_places);
        set_globals(plan, &mut opened)?;
        choose(plan, &mut opened, kernel.as_ref(), has_multi);
        let object = opened.load().map_err(|error| refused(hook, "loading its programs", &error))?;
        let mut loaded = Self { links: Vec::new(), object, has_multi };
        for standing in &plan.programs {
            match loaded.stand(hook, &standing.program, standing.point) {
                Err(error) if standing.is_needed => return Err(error),
                _ => {}
            }
        }
        Ok(loaded)
    }

    fn program(&self, hook: &str, name: &str) -> Result<ProgramMut<'_>> {
        let found = self.object.progs_mut().find(|program| program.name() == OsStr::new(name));
        found.ok_or_else(|| no_program(hook, name))
    }

    fn stand(&mut self, hook: &str, name: &str, point: Point<'_>) -> Result<()> {
        let groups: &[PathBuf] = match point {
            // Where it stands is said by its section too.
            Point::Typed(what) | Point::Raw(what) | Point::Function(what) => {
                let link = self.program(hook, name)?.attach();
                self.links
                    .push(link.map_err(|error| refused(hook, &format!("attaching to {what}"), &error))?);
                return Ok(());
            }
            Point::Egress(groups) | Point::Ingress(groups) | Point::Connect(groups) => groups,
            Point::Clock(_) => {
                let message = format!("{hook}: clocks are left to aya");
                return Err(Error::new(ErrorKind::Config, message));
            }
            Point::Places => return Ok(()),
        };
        for group in groups {
            let group = open_group(hook, group)?;
            let link = self.program(hook, name)?.attach_cgroup(group.as_raw_fd());
            let what = "attaching to the control group";
            self.links.push(link.map_err(|error| refused(hook, what, &error))?);
        }
        Ok(())
    }

    pub(super) fn map(&self, hook: &str, name: &str) -> Result<Map> {
        let map = self.object.maps().find(|map| map.name() == OsStr::new(name));
        let map = map.ok_or_else(|| no_map(hook, name))?;
        let copied = map.as_fd().try_clone_to_owned().map_err(|error| failed(hook, name, error))?;
        MapData::from_fd(copied).and_then(Map::from_map_data).map_err(|error| failed(hook, name, error))
    }

    pub(super) fn stand_at(&mut self, name: &str, library: &Library, places: &[u64]) -> Result<()> {
        let program = self.program("tls", name)?;
        let retprobe = program.section() == OsStr::new("uretprobe");
        let offsets: Vec<usize> = places.iter().filter_map(|place| usize::try_from(*place).ok()).collect();
        let what = || format!("attaching to bytes {places:?} of {}", library.name);
        let links = if self.has_multi {
            let options = UprobeMultiOpts { offsets, retprobe, ..UprobeMultiOpts::default() };
            vec![program.attach_uprobe_multi_with_opts(ALL, &library.path, "", options)]
        } else {
            let each = offsets.into_iter().map(|offset| {
                let options = UprobeOpts { retprobe, ..UprobeOpts::default() };
                program.attach_uprobe_with_opts(ALL, &library.path, offset, options)
            });
            each.collect()
        };
        for link in links {
            self.links.push(link.map_err(|error| refused("tls", &what(), &error))?);
        }
        Ok(())
    }
}

/// Whether one link may stand for many places of a file: the kernel has a structure for them (Linux 6.6).
fn has_links_of_many_places(kernel: &Btf<'_>) -> bool {
    kernel.type_by_name::<types::Struct<'_>>("bpf_uprobe_multi_link").is_some()
}

/// Sets the constants of the programs, which lie where the symbols of the object say, and the sizes of maps.
fn set_globals(plan: &Plan<'_>, opened: &mut OpenObject) -> Result<()> {
    let unknown = |name: &str| Error::new(ErrorKind::Malformed, format!("{}: no constant {name}", plan.hook));
    let tables = Elf::read(plan.object.as_slice())?.symbols()?;
    for mut map in opened.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if let Some((_, entries)) = plan.sizes.iter().find(|(wanted, _)| *wanted == name) {
            map.set_max_entries(*entries).map_err(|error| refused(plan.hook, "sizing its maps", &error))?;
        }
        if !name.ends_with(".rodata") {
            continue;
        }
        let Some(constants) = map.initial_value_mut() else { continue };
        for (name, value) in &plan.globals {
            let at = tables.iter().find_map(|table| table.object(name)).ok_or_else(|| unknown(name))?;
            let at = usize::try_from(at).map_err(|_| unknown(name))?;
            let place = constants.get_mut(at..).and_then(|rest| rest.get_mut(..value.len()));
            place.ok_or_else(|| unknown(name))?.copy_from_slice(value);
        }
    }
    Ok(())
}

/// Chooses which programs are loaded: those of the plan, but for functions that this kernel has not.
fn choose(plan: &Plan<'_>, opened: &mut OpenObject, kernel: Option<&Btf<'_>>, has_multi: bool) {
    for mut program in opened.progs_mut() {
        let standing = plan.programs.iter().find(|standing| program.name() == OsStr::new(&standing.program));
        let is_there = standing.is_some_and(|standing| match standing.point {
            Point::Function(function) if !standing.is_needed => {
                kernel.is_some_and(|kernel| kernel.type_by_name::<types::Func<'_>>(function).is_some())
            }
            _ => true,
        });
        program.set_autoload(is_there);
        if has_multi && standing.is_some_and(|standing| matches!(standing.point, Point::Places)) {
            program.set_attach_type(ProgramAttachType::TraceUprobeMulti);
        }
    }
}

/// Its error, which has the system's within where it was one.
pub(in crate::program) fn refused(hook: &str, what: &str, error: &libbpf_rs::Error) -> Error {
    let kind = match error.kind() {
        libbpf_rs::ErrorKind::PermissionDenied => std::io::ErrorKind::PermissionDenied,
        libbpf_rs::ErrorKind::NotFound => std::io::ErrorKind::NotFound,
        _ => std::io::ErrorKind::Other,
    };
    failed(hook, what, std::io::Error::new(kind, format!("{error:#}")))
}
