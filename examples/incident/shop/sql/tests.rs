use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use postgres::{Client, Config, NoTls, SimpleQueryMessage};
use proptest::prelude::*;

use super::client::{Connection, Failure};
use super::server::serve_connection;
use super::*;
use crate::shop::Role;
use crate::shop::context::{Context, Service as _};
use crate::shop::db::Db;
use crate::shop::tests::{context, skip};

const ITEM: &str = "SELECT title, price FROM stock WHERE sku = $1";
const ADD: &str = "INSERT INTO charges (order_id, amount) VALUES ($1, $2)";

/// A store that serves real connections until the test ends.
struct Store {
    address: SocketAddr,
    context: Arc<Context>,
    db: Arc<Db>,
}

impl Store {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let context = context(Role::Db);
        let db = Arc::new(Db::new(Arc::clone(&context)));
        let (engine, served) = (Arc::clone(&db), Arc::clone(&context));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (engine, served) = (Arc::clone(&engine), Arc::clone(&served));
                std::thread::spawn(move || serve_connection(&stream, &*engine, &served.counters));
            }
        });
        Self { address, context, db }
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config.hostaddr(self.address.ip()).port(self.address.port()).user("test").dbname("shop");
        config
    }

    fn client(&self) -> Client {
        self.config().connect(NoTls).unwrap()
    }

    /// Requests served: well, refused, and failed.
    fn served(&self) -> (u64, u64, u64) {
        let counts = self.context.counters.drained(Duration::from_secs(5));
        (counts.ok, counts.client_errors, counts.server_errors)
    }

    fn fact(&self, name: &str) -> u64 {
        self.db.facts().into_iter().collect::<BTreeMap<_, _>>()[name]
    }
}

fn sqlstate(error: &postgres::Error) -> &str {
    error.code().unwrap().code()
}

#[test]
fn a_real_client_prepares_once_and_reads_rows_of_both_types() {
    let store = Store::start();
    let mut client = store.client();
    let statement = client.prepare(ITEM).unwrap();
    let types: Vec<&str> = statement.columns().iter().map(|column| column.type_().name()).collect();
    assert_eq!((types, statement.params()[0].name()), (vec!["text", "int4"], "text"));
    for number in [0_u32, 7, 1_999] {
        let row = client.query_one(&statement, &[&crate::shop::db::sku(number)]).unwrap();
        assert_eq!(row.get::<_, &str>("title"), format!("Product+{number:05}"));
        assert!((199..20_000).contains(&row.get::<_, i32>("price")));
    }
    assert!(client.query_opt(&statement, &[&"sku-none"]).unwrap().is_none());
    // One that prepares, and four that execute.
    assert_eq!(store.served(), (5, 0, 0));
    assert_eq!(store.fact("reads"), 4);
}

#[test]
fn simple_queries_are_answered_as_text_and_null_where_a_row_has_nothing() {
    let store = Store::start();
    let mut client = store.client();
    let answer = client.simple_query("SELECT signature, state FROM charges WHERE order_id = 'ord-0000001'");
    let rows: Vec<(Option<String>, Option<String>)> = answer
        .unwrap()
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((row.get(0).map(str::to_owned), row.get(1).map(str::to_owned)))
            }
            _ => None,
        })
        .collect();
    assert_eq!(rows, [(None, Some("settled".to_owned()))]);
    assert_eq!(store.served(), (1, 0, 0));
}

#[test]
fn a_transaction_is_seen_by_others_when_it_is_committed_and_never_when_it_is_not() {
    let store = Store::start();
    let (mut own, mut other) = (store.client(), store.client());
    let seen = |client: &mut Client, order: &str| {
        let text = format!("SELECT amount FROM charges WHERE order_id = '{order}'");
        client.query_opt(text.as_str(), &[]).unwrap().map(|row| row.get::<_, i32>(0))
    };
    let mut transaction = own.transaction().unwrap();
    transaction.execute(ADD, &[&"new-1", &5]).unwrap();
    let amount = transaction.query_one("SELECT amount FROM charges WHERE order_id = $1", &[&"new-1"]);
    assert_eq!(amount.unwrap().get::<_, i32>(0), 5, "it sees what it did itself");
    assert_eq!(seen(&mut other, "new-1"), None);
    transaction.commit().unwrap();
    assert_eq!(seen(&mut other, "new-1"), Some(5));
    let mut transaction = own.transaction().unwrap();
    transaction.execute(ADD, &[&"new-2", &6]).unwrap();
    transaction.rollback().unwrap();
    assert_eq!((seen(&mut own, "new-2"), seen(&mut other, "new-2")), (None, None));
}

#[test]
fn what_is_refused_is_told_by_its_code_and_counted_as_the_clients_fault() {
    let store = Store::start();
    let mut client = store.client();
    assert_eq!(sqlstate(&client.prepare("SELECT a FROM b WHERE c = $1").unwrap_err()), "42P01");
    assert_eq!(sqlstate(&client.batch_execute("DROP TABLE stock").unwrap_err()), "0A000");
    client.execute(ADD, &[&"new-1", &5]).unwrap();
    assert_eq!(sqlstate(&client.execute(ADD, &[&"new-1", &5]).unwrap_err()), "23505");
    let mut transaction = client.transaction().unwrap();
    assert_eq!(sqlstate(&transaction.execute(ADD, &[&"new-1", &5]).unwrap_err()), "23505");
    assert_eq!(sqlstate(&transaction.query_opt(ITEM, &[&"sku-00001"]).unwrap_err()), "25P02");
    transaction.rollback().unwrap();
    assert!(client.query_opt(ITEM, &[&"sku-00001"]).unwrap().is_some(), "after it all is well");
    // Each statement is prepared each time: five times well; then two executed, a transaction begun and ended.
    assert_eq!(store.served(), (9, 5, 0));
}

#[test]
fn a_statement_that_takes_too_long_is_cancelled_with_its_code() {
    let store = Store::start();
    let connect = |millis: u32| {
        let options = format!("-c statement_timeout={millis}");
        store.config().options(&options).connect(NoTls).unwrap()
    };
    let (mut hasty, mut patient) = (connect(1), connect(0));
    assert!(hasty.query_one(ITEM, &[&"sku-00001"]).is_ok());
    assert!(store.db.set_fault(true));
    // A scan takes longer than a millisecond on any machine, but not every one of them longer by a row.
    let cancelled = (0..200).find_map(|_| hasty.query_one(ITEM, &[&"sku-00001"]).err());
    assert_eq!(sqlstate(&cancelled.unwrap()), "57014");
    assert!(patient.query_one(ITEM, &[&"sku-00001"]).is_ok());
    assert_eq!((store.served().2, store.fact("cancelled")), (1, 1));
}

#[test]
fn the_shops_own_client_counts_what_the_store_serves_and_uses_connections_again() {
    let store = Store::start();
    let payment = context(Role::Payment);
    let unreached = Connection::take(&payment, "-").unwrap_err();
    assert!(matches!(unreached, Failure::Unanswered(error) if error.kind() == ErrorKind::Config));
    payment.connect(Role::Db, store.address).unwrap();
    for order in ["new-1", "new-2", "new-1"] {
        let done = Connection::take(&payment, "-").unwrap().transaction(|connection| {
            let row = connection.query("SELECT credit FROM accounts WHERE account = $1", &[&"acc-00001"])?;
            assert!(row.unwrap().get::<_, i32>(0) > 0);
            connection.query(ADD, &[&order, &5]).map(drop)
        });
        assert_eq!(done.is_err(), order == "new-1" && store.served().1 > 0, "{done:?}");
    }
    let counts = payment.counters.drained(Duration::ZERO);
    let (ok, refused, failed) = store.served();
    // Two statements are prepared once; each transaction is begun, has two statements and an end.
    assert_eq!((ok, refused, failed), (13, 1, 0));
    assert_eq!((counts.calls_to(Role::Db), counts.failed_calls.len()), (14, 1));
}

#[test]
fn psql_is_served() {
    if !Command::new("psql").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skip("psql: apt-get install postgresql-client");
    }
    let store = Store::start();
    let said = |arguments: &[&str]| {
        let mut psql = Command::new("psql");
        let where_ = format!("host=127.0.0.1 port={} user=test dbname=shop", store.address.port());
        let output = psql.args(["-X", "-A", "-t", "-d", &where_]).args(arguments).output().unwrap();
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).trim().to_owned())
    };
    let item = "SELECT sku, title FROM stock WHERE sku = 'sku-00007'";
    assert_eq!(said(&["-c", item])[0], "sku-00007|Product+00007");
    let [_, error] = said(&["-v", "VERBOSITY=sqlstate", "-c", "SELECT a FROM b WHERE c = 'd'"]);
    assert_eq!(error, "ERROR:  42P01");
    let add = "INSERT INTO charges (order_id, amount) VALUES ('new-1', 7)";
    assert_eq!(said(&["-c", "BEGIN", "-c", add, "-c", "COMMIT"])[0], "BEGIN\nINSERT 0 1\nCOMMIT");
    assert_eq!(said(&["-c", "SELECT amount FROM charges WHERE order_id = 'new-1'"])[0], "7");
    assert_eq!(store.served(), (5, 1, 0));
}

/// Sends `pieces` and hands back the kinds of the messages that came, and the counts.
fn exchange(store: &Store, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(store.address).unwrap();
    for piece in pieces {
        stream.write_all(piece).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut met = Vec::new();
    stream.read_to_end(&mut met).unwrap();
    let (mut kinds, mut rest) = (String::new(), met.as_slice());
    while let Some((kind, behind)) = rest.split_first() {
        kinds.push(char::from(*kind));
        let length = behind.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
        rest = behind.get(usize::try_from(length).unwrap()..).unwrap_or_default();
    }
    kinds
}

const STARTUP: &[u8] = b"\0\0\0\x13\0\x03\0\0user\0test\0\0";

#[test]
fn encryption_is_declined_and_a_stream_that_is_none_of_ours_is_counted() {
    let store = Store::start();
    // The byte `N` is no message; what follows it is cut in the middle.
    let query = b"Q\0\0\0\x0aBEGIN\0";
    let kinds = exchange(&store, &[&STARTUP[..7], &STARTUP[7..], query, b"X\0\0\0\x04"]);
    assert_eq!(kinds, "RSSSSKZCZ");
    let mut stream = TcpStream::connect(store.address).unwrap();
    stream.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"N");
    assert_eq!(exchange(&store, &[b"GET / HTTP/1.1\r\n\r\n"]), "E");
    assert_eq!(exchange(&store, &[STARTUP, b"P\0\0\0\x05x"]), "RSSSSKZE");
    assert_eq!(store.context.counters.drained(Duration::ZERO).malformed, 2);
}

#[test]
fn what_follows_a_failure_is_passed_over_until_the_next_sync() {
    let store = Store::start();
    let parse = b"P\0\0\0\x10\0SELECT 1\0\0\0";
    let bind_execute = b"B\0\0\0\x0c\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0";
    let sync = b"S\0\0\0\x04";
    let kinds = exchange(&store, &[STARTUP, parse, bind_execute, sync, bind_execute, sync]);
    assert_eq!(kinds, "RSSSSKZEZEZ");
    assert_eq!(store.served(), (0, 2, 0));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic_or_read_on_without_an_end(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        is_started: bool,
    ) {
        let mut decoder = Decoder { buffer: Vec::new(), is_started };
        decoder.feed(&bytes);
        let mut messages = 0;
        while let Ok(Some(_)) = decoder.message() {
            messages += 1;
        }
        prop_assert!(messages <= bytes.len() / 4);
    }
}
