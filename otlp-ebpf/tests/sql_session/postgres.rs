//! Sessions of PostgreSQL.

use std::collections::BTreeMap;

use otlp_ebpf::parse::Direction::{ToClient, ToServer};

use super::{Dice, Session, fails, rows};

fn message(kind: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind], length.as_slice(), body].concat()
}

fn text(parts: &[&str]) -> Vec<u8> {
    parts.iter().flat_map(|part| part.bytes().chain([0])).collect()
}

fn sql(id: usize, dice: &mut Dice) -> String {
    let filler = "column_name, ".repeat(if dice.one_in(6) { 40 } else { 0 });
    format!("SELECT {filler}a FROM t{id} WHERE secret = 's3cret {id}'")
}

fn ready() -> Vec<u8> {
    message(b'Z', "I")
}

/// What the server says to the statement of this number, or that it fails.
fn result(id: usize, described: bool, dice: &mut Dice) -> Vec<u8> {
    let mut said = Vec::new();
    if dice.one_in(5) {
        said.extend(message(b'N', text(&["SNOTICE", "C00000", "Ms3cret", ""])));
    }
    if fails(id) {
        said.extend(message(b'E', text(&["SERROR", "VERROR", &format!("C{id:05}"), "Ms3cret", ""])));
        return said;
    }
    if described {
        said.extend(message(b'T', [0, 0]));
    }
    for row in 0..rows(id) {
        let data =
            if dice.one_in(9) { vec![b'Z'; dice.below(900)] } else { format!("s3cret {row}").into_bytes() };
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        said.extend(message(b'D', [[0, 1].as_slice(), &length, &data].concat()));
    }
    said.extend(message(b'C', text(&[&format!("SELECT {}", rows(id))])));
    said
}

/// A batch of the extended protocol: both sides of it.
fn batch(
    ids: &mut usize,
    names: &mut BTreeMap<usize, usize>,
    session: &mut Session,
    dice: &mut Dice,
) -> [Vec<u8>; 2] {
    let (mut there, mut back) = (Vec::new(), Vec::new());
    let mut failed = false;
    for _ in 0..if dice.one_in(4) { 1 + dice.below(4) } else { 1 } {
        let named = dice.one_in(2);
        let (name, id) = if named && !names.is_empty() && dice.one_in(2) {
            let (name, id) = names.iter().nth(dice.below(names.len())).unwrap();
            (format!("s{name}"), *id)
        } else {
            *ids += 1;
            let slot = dice.below(4);
            let name = if named { format!("s{slot}") } else { String::new() };
            if named && names.contains_key(&slot) {
                there.extend(message(b'C', [b"S".as_slice(), &text(&[&name])].concat()));
                back.extend(message(b'3', "").into_iter().filter(|_| !failed));
            }
            there.extend(message(b'P', [text(&[&name, &sql(*ids, dice)]), vec![0, 0]].concat()));
            back.extend(message(b'1', "").into_iter().filter(|_| !failed));
            if named {
                // What a failed batch prepares is not there.
                if failed {
                    names.remove(&slot)
                } else {
                    names.insert(slot, *ids)
                };
            }
            (name, *ids)
        };
        let portal = if dice.one_in(3) { "c1" } else { "" };
        there.extend(message(
            b'B',
            [text(&[portal, &name]), vec![0, 0, 0, 1, 0, 0, 0, 6], b"s3cret".to_vec(), vec![0, 0]].concat(),
        ));
        there.extend(message(b'D', [b"P".as_slice(), &text(&[portal])].concat()));
        there.extend(message(b'E', [text(&[portal]), vec![0; 4]].concat()));
        session.requests += 1;
        if !failed {
            back.extend([message(b'2', ""), message(b'T', [0, 0]), result(id, false, dice)].concat());
        }
        failed |= fails(id);
    }
    there.extend(message(b'S', ""));
    back.extend(ready());
    [there, back]
}

/// A session of so many exchanges; a client that pipelines sends some before it has the answers to those before.
pub(crate) fn postgres(exchanges: usize, pipelines: bool, dice: &mut Dice) -> Session {
    let mut session = Session::default();
    let startup = [vec![0, 3, 0, 0], text(&["user", "eve", "database", "shop", ""])].concat();
    session
        .say(ToServer, [u32::try_from(startup.len() + 4).unwrap().to_be_bytes().to_vec(), startup].concat());
    session.say(ToClient, message(b'R', [0, 0, 0, 3]));
    session.say(ToServer, message(b'p', text(&["s3cret"])));
    session.say(
        ToClient,
        [message(b'R', [0; 4]), message(b'S', text(&["standard_conforming_strings", "on"])), ready()]
            .concat(),
    );
    session.login = session.said.len();
    let (mut ids, mut names) = (0, BTreeMap::new());
    let mut owed = Vec::new();
    for _ in 0..exchanges {
        let [there, back] = match dice.below(5) {
            0..3 => batch(&mut ids, &mut names, &mut session, dice),
            3 => {
                ids += 1;
                session.requests += 1;
                let data = (0..rows(ids)).flat_map(|_| message(b'd', "s3cret\n")).collect();
                let copy = format!("COPY t{ids} FROM STDIN");
                if fails(ids) || pipelines {
                    [message(b'Q', text(&[&sql(ids, dice)])), [result(ids, true, dice), ready()].concat()]
                } else {
                    session.say(ToServer, message(b'Q', text(&[&copy])));
                    session.say(ToClient, message(b'G', [0, 0, 0]));
                    // The rows of a COPY are not those of a result.
                    let done = [message(b'C', text(&["COPY 1"])), ready()].concat();
                    [[data, message(b'c', "")].concat(), done]
                }
            }
            _ => {
                ids += 1;
                session.requests += 1;
                [message(b'Q', text(&[&sql(ids, dice)])), [result(ids, true, dice), ready()].concat()]
            }
        };
        session.say(ToServer, there);
        owed.extend(back);
        if !pipelines || dice.one_in(3) {
            session.say(ToClient, std::mem::take(&mut owed));
        }
    }
    session.say(ToClient, owed);
    session
}
