/** A duration of Effect. `toJSON` returns its form as JSON. */
export interface Duration {
  readonly "~effect/Duration": unknown
  toJSON(): unknown
}

/** The units of durations in words. */
export type Unit =
  | "nano"
  | "nanos"
  | "micro"
  | "micros"
  | "milli"
  | "millis"
  | "second"
  | "seconds"
  | "minute"
  | "minutes"
  | "hour"
  | "hours"
  | "day"
  | "days"
  | "week"
  | "weeks"
