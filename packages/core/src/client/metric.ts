// Metrics of the GenAI conventions. Effect's OTLP exporter reads the unit of a metric from its attribute `unit`.
import * as Metric from "effect/Metric"

/** The attributes of a series. Attributes of Effect's metrics are strings. */
export type Attributes = Readonly<Record<string, string>>

// The bounds of the conventions for histograms of durations.
const boundaries = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]

/** A histogram of durations in seconds. */
export const durations = (id: string, description: string | undefined, attributes: Attributes = { unit: "s" }) =>
  Metric.histogram(id, { description, attributes, boundaries })

/** A counter that only grows. Effect's OTLP exporter sends a `bigint` as an integer, and a number as a double. */
export const counter = (id: string, description: string | undefined, attributes: Attributes = { unit: "{token}" }) =>
  Metric.counter(id, { description, attributes, bigint: true, incremental: true })

/** The series of a histogram with these attributes. Unlike with `Metric.withAttributes`, its key is computed once. */
export const durationsWith = (metric: Metric.Histogram<number>, attributes: Attributes) =>
  durations(metric.id, metric.description, { ...metric.attributes, ...attributes })

/** The series of a counter with these attributes. */
export const counterWith = (metric: Metric.Counter<bigint>, attributes: Attributes) =>
  counter(metric.id, metric.description, { ...metric.attributes, ...attributes })
