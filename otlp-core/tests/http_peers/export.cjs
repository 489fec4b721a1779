// The JavaScript SDK's own exporters in JSON: argument 1 is the URL, argument 2 none or gzip.

const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-http");
const { OTLPMetricExporter } = require("@opentelemetry/exporter-metrics-otlp-http");
const { OTLPLogExporter } = require("@opentelemetry/exporter-logs-otlp-http");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BasicTracerProvider, BatchSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const { AggregationType, MeterProvider, PeriodicExportingMetricReader } = require("@opentelemetry/sdk-metrics");
const { BatchLogRecordProcessor, LoggerProvider } = require("@opentelemetry/sdk-logs");

async function main(url, compression) {
  const options = (signal) => ({ url: `${url}/v1/${signal}`, compression, headers: { "x-token": "t" } });
  const resource = resourceFromAttributes({ "service.name": "javascript", "host.ids": ["a", "b"], "cpu.count": 8 });
  const spanProcessors = [new BatchSpanProcessor(new OTLPTraceExporter(options("traces")))];
  const tracers = new BasicTracerProvider({ resource, spanProcessors });
  const exporter = new OTLPMetricExporter(options("metrics"));
  const readers = [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })];
  const views = [{ instrumentName: "wait", aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }];
  const meters = new MeterProvider({ resource, readers, views });
  const processors = [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter(options("logs")) })];
  const loggers = new LoggerProvider({ resource, processors });

  const tracer = tracers.getTracer("shop", "1.2", { schemaUrl: "https://example.org/schema" });
  let context;
  for (let number = 0; number < 100; number += 1) {
    const attributes = { number, even: number % 2 === 0, share: number / 8, tags: ["x", "日本"] };
    const links = context ? [{ context, attributes: { why: "before" } }] : [];
    const span = tracer.startSpan(`span ${number}`, { kind: 1, attributes, links, startTime: [1, 1000 + number] });
    span.addEvent("paid", { amount: 12.5 }, [1, 1500 + number]);
    span.setStatus(number % 4 === 0 ? { code: 2, message: "refused" } : { code: 1 });
    span.end([1, 2000 + number]);
    context = span.spanContext();
  }
  const meter = meters.getMeter("shop", "1.2");
  meter.createCounter("orders", { unit: "{order}", description: "Orders taken" }).add(7, { kind: "paid" });
  meter.createHistogram("latency", { unit: "ms" }).record(30.5);
  meter.createHistogram("wait").record(8);
  meter.createUpDownCounter("stock").add(-3);
  meter.createObservableGauge("length").addCallback((result) => result.observe(0.5, { queue: "größe" }));
  const body = { text: "out of stock", number: 7, parts: [1, "two", { three: 3.5 }], raw: new Uint8Array([0, 255]) };
  loggers.getLogger("shop", "1.2").emit({
    severityNumber: 17,
    severityText: "ERROR",
    body,
    attributes: { item: 7 },
    eventName: "stock.out",
    timestamp: [1, 7],
  });
  await Promise.all([tracers.shutdown(), meters.shutdown(), loggers.shutdown()]);
}

main(...process.argv.slice(2));
