//! The codec for daily work: `cargo bench -p otlp-benches --bench codec`, with a filter such as `walk` behind it. What is
//! quoted comes from `compare`, which measures peers in the same run; this tells a change from the run before.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn codec(criterion: &mut Criterion) {
    let jobs = otlp_benches::core::daily::jobs().expect("the payloads are valid");
    for mut job in jobs {
        assert_ne!((job.run)(), 0, "{} of {} does nothing", job.way, job.signal);
        let mut group = criterion.benchmark_group(job.way);
        group.throughput(Throughput::Bytes(job.bytes));
        group.bench_function(job.signal, |bencher| bencher.iter(|| black_box((job.run)())));
        group.finish();
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
