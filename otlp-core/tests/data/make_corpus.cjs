// Part of make_corpus.py: a program with the JavaScript SDK that sends each signal to the URL given.

const { trace, metrics, SpanKind, SpanStatusCode } = require("@opentelemetry/api");
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-proto");
const { OTLPMetricExporter } = require("@opentelemetry/exporter-metrics-otlp-proto");
const { OTLPLogExporter } = require("@opentelemetry/exporter-logs-otlp-proto");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BatchSpanProcessor, NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");
const { AggregationType, MeterProvider, PeriodicExportingMetricReader } = require("@opentelemetry/sdk-metrics");
const { BatchLogRecordProcessor, LoggerProvider } = require("@opentelemetry/sdk-logs");

async function main(url) {
  const resource = resourceFromAttributes({ "service.name": "checkout", "host.ids": ["a", "b"], "cpu.count": 8 });
  const spanProcessors = [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${url}/v1/traces` }))];
  const tracers = new NodeTracerProvider({ resource, spanProcessors });
  const exporter = new OTLPMetricExporter({ url: `${url}/v1/metrics` });
  const readers = [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })];
  const aggregation = { type: AggregationType.EXPONENTIAL_HISTOGRAM };
  const views = [{ instrumentName: "queue.wait", aggregation }];
  const meters = new MeterProvider({ resource, readers, views });
  const processors = [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter({ url: `${url}/v1/logs` }) })];
  const loggers = new LoggerProvider({ resource, processors });

  const tracer = tracers.getTracer("checkout", "0.1.0", { schemaUrl: "https://opentelemetry.io/schemas/1.30.0" });
  const meter = meters.getMeter("checkout", "0.1.0");
  const logger = loggers.getLogger("checkout");
  const orders = meter.createCounter("orders", { unit: "{order}", description: "Orders taken" });
  const latency = meter.createHistogram("latency", { unit: "ms" });
  const wait = meter.createHistogram("queue.wait");
  meter.createObservableGauge("queue.length").addCallback((result) => result.observe(-3, { queue: "größe" }));

  for (let number = 0; number < 8; number += 1) {
    const attributes = { "order.number": number, express: number % 2 === 0, share: number / 3, tags: ["x", "日本"] };
    tracer.startActiveSpan("POST /order", { kind: SpanKind.SERVER, attributes }, (span) => {
      span.addEvent("paid", { amount: 12.5 });
      if (number % 4 === 0) {
        span.recordException(new Error("card refused"));
        span.setStatus({ code: SpanStatusCode.ERROR, message: "card refused" });
      }
      tracer.startSpan("reserve", { kind: SpanKind.PRODUCER, links: [{ context: span.spanContext() }] }).end();
      const body = { text: "order taken", number, parts: [1, "two", { three: 3.5 }], raw: new Uint8Array([0, 255]) };
      logger.emit({ severityNumber: 9, severityText: "INFO", body, attributes, eventName: "order.taken" });
      span.end();
    });
    orders.add(1, { express: number % 2 === 0 });
    latency.record(number * 7.5);
    wait.record(2 ** number);
  }
  await Promise.all([tracers.shutdown(), meters.shutdown(), loggers.shutdown()]);
}

main(process.argv[2]);
