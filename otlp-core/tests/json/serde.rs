//! `opentelemetry-proto`'s serde beside ours, where it follows the specification.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp_core::protocol::Signal;
use prost::Message;

use crate::dice::Dice;
use crate::generate::{self, Layout};
use crate::{read, write};

#[test]
fn look() {
    for seed in 0..6 {
        let mut dice = Dice::new(seed);
        let nodes = generate::request(Signal::Traces, &mut dice);
        let wire = generate::encode(&nodes, Layout::Ascending, &mut dice);
        let message = ExportTraceServiceRequest::decode(wire.as_slice()).unwrap();
        let theirs = serde_json::to_string(&message).unwrap();
        println!("theirs {theirs}");
        println!("ours   {}", write(Signal::Traces, &wire).unwrap());
        println!("{:?}", read(Signal::Traces, &theirs).map(|w| w == wire));
        let ours = write(Signal::Traces, &wire).unwrap();
        println!("{:?}", serde_json::from_str::<ExportTraceServiceRequest>(&ours).map(|m| m == message));
    }
}
