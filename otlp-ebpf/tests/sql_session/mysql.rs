//! Sessions of MySQL.

use otlp_ebpf::parse::Direction::{ToClient, ToServer};

use super::{Dice, Session, fails, rows};

/// Puts bodies into packets, numbered from `first`.
fn packets(first: u8, bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut number = first;
    let mut said = Vec::new();
    for body in bodies {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        said.extend_from_slice(&length[..3]);
        said.push(number);
        said.extend_from_slice(body);
        number = number.wrapping_add(1);
    }
    said
}

fn sql(id: usize, dice: &mut Dice) -> String {
    let filler = "column_name, ".repeat(if dice.one_in(6) { 40 } else { 0 });
    format!("SELECT {filler}a FROM t{id} WHERE secret = 's3cret {id}'")
}

fn ok(first: u8, status: u8) -> Vec<u8> {
    vec![first, 0, 0, status, 0, 0, 0]
}

fn end(status: u8) -> Vec<u8> {
    vec![0xfe, 0, 0, status, 0]
}

fn error(id: usize) -> Vec<u8> {
    let code = u16::try_from(1000 + id).unwrap().to_le_bytes();
    [&[0xff], code.as_slice(), b"#HY000s3cret"].concat()
}

/// The definition of a column, as far as it matters here.
fn definition() -> Vec<u8> {
    [b"\x03def\x04shop".as_slice(), &[0; 20]].concat()
}

/// What the server says to the statement of this number.
fn result(id: usize, deprecates: bool, prepared: bool, dice: &mut Dice) -> Vec<Vec<u8>> {
    if fails(id) {
        return vec![error(id)];
    }
    let columns = 1 + dice.below(3);
    let mut said = vec![vec![u8::try_from(columns).unwrap()]];
    said.extend((0..columns).map(|_| definition()));
    if !deprecates {
        said.push(end(2));
    }
    for _ in 0..rows(id) {
        let data = vec![b's'; if dice.one_in(9) { dice.below(250) } else { 6 }];
        let head = if prepared { vec![0, 0] } else { vec![] };
        said.push([head, vec![u8::try_from(data.len()).unwrap()], data].concat());
    }
    said.push(if deprecates { ok(0xfe, 2) } else { end(2) });
    said
}

fn login(session: &mut Session, deprecates: bool) {
    let flags: u32 = 1 << 3 | 1 << 9 | 1 << 15 | u32::from(deprecates) << 24 | 1;
    let [a, b, c, d] = flags.to_le_bytes();
    let greeting =
        [b"\x0a8.0.36\0".as_slice(), &[7; 12], &[0, a, b, 33, 2, 0, c, d, 21], &[0; 10], b"moresalt1234\0"]
            .concat();
    session.say(ToClient, packets(0, &[greeting]));
    let answer =
        [flags.to_le_bytes().as_slice(), &[0, 0, 0, 1, 33], &[0; 23], b"eve\0\x06s3cretshop\0"].concat();
    session.say(ToServer, packets(1, &[answer]));
    session.say(ToClient, packets(2, &[ok(0, 2)]));
    session.login = session.said.len();
}

/// A session of so many exchanges; the client waits for each answer.
pub(crate) fn mysql(exchanges: usize, dice: &mut Dice) -> Session {
    let mut session = Session::default();
    let deprecates = dice.one_in(2);
    login(&mut session, deprecates);
    let mut prepared: Vec<(u32, usize)> = Vec::new();
    let mut id = 0;
    for statement in 1..=exchanges {
        session.requests += 1;
        match dice.below(6) {
            0 => {
                id += 1;
                let number = u32::try_from(statement).unwrap();
                session.say(ToServer, packets(0, &[[b"\x16".as_slice(), sql(id, dice).as_bytes()].concat()]));
                // What it says to the preparation tells nothing of the statement, unless it fails.
                let mut said = vec![[[0].as_slice(), &number.to_le_bytes(), &[1, 0, 2, 0, 0, 0, 0]].concat()];
                let ends = |said: &mut Vec<_>| said.extend((!deprecates).then(|| end(2)));
                said.extend([definition(), definition()]);
                ends(&mut said);
                said.push(definition());
                ends(&mut said);
                session.say(ToClient, packets(1, &said));
                prepared.push((number, id));
            }
            1 | 2 if !prepared.is_empty() => {
                let (number, id) = prepared[dice.below(prepared.len())];
                let execute =
                    [[0x17].as_slice(), &number.to_le_bytes(), &[0, 1, 0, 0, 0, 0, 1], b"s3cret"].concat();
                let long = [[0x18].as_slice(), &number.to_le_bytes(), &[0, 0], b"s3cret"].concat();
                if dice.one_in(4) {
                    session.say(ToServer, packets(0, &[long]));
                }
                session.say(ToServer, packets(0, &[execute]));
                session.say(ToClient, packets(1, &result(id, deprecates, true, dice)));
                if dice.one_in(5) {
                    prepared.retain(|(each, _)| *each != number);
                    session.say(ToServer, packets(0, &[[[0x19].as_slice(), &number.to_le_bytes()].concat()]));
                }
            }
            3 => {
                session.say(ToServer, packets(0, &[vec![0x0e]]));
                session.say(ToClient, packets(1, &[ok(0, 2)]));
            }
            _ => {
                id += 1;
                session.say(ToServer, packets(0, &[[b"\x03".as_slice(), sql(id, dice).as_bytes()].concat()]));
                session.say(ToClient, packets(1, &result(id, deprecates, false, dice)));
            }
        }
    }
    session
}
