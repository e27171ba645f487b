/**
 * Why the control plane refused an operation.
 */
import * as Schema from "effect/Schema"

const detail = Schema.String.annotateKey({ description: "What is wrong, and what to do." })

/** There is no such object, or the caller may not know of it. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { detail }, { httpApiStatus: 404 }) {
  static of(entity: string, id: string): NotFound {
    return new NotFound({ detail: `There is no ${entity} "${id.slice(0, 100)}".` })
  }
  override get message(): string {
    return this.detail
  }
}

/** The object cannot be as the request wants it: a name is taken, or the configuration file owns it. */
export class Conflict extends Schema.TaggedError<Conflict>()("Conflict", { detail }, { httpApiStatus: 409 }) {
  override get message(): string {
    return this.detail
  }
}

/** Others depend on the object. `force` does it nevertheless. */
export class InUse extends Schema.TaggedError<InUse>()(
  "InUse",
  { detail, dependents: Schema.Record(Schema.String, Schema.Int).annotateKey({ description: "How many, by kind." }) },
  { httpApiStatus: 409 }
) {
  override get message(): string {
    return this.detail
  }
}

/** The object was changed since it was read. */
export class VersionMismatch extends Schema.TaggedError<VersionMismatch>()(
  "VersionMismatch",
  { detail, version: Schema.Int.annotateKey({ description: "The version that is there." }) },
  { httpApiStatus: 412 }
) {
  override get message(): string {
    return this.detail
  }
}

/** A field of the request is wrong. */
export class Invalid extends Schema.TaggedError<Invalid>()("Invalid", { detail, field: Schema.String }, { httpApiStatus: 422 }) {
  override get message(): string {
    return this.detail
  }
}

/** The caller may not do this. */
export class Forbidden extends Schema.TaggedError<Forbidden>()("Forbidden", { detail }, { httpApiStatus: 403 }) {
  override get message(): string {
    return this.detail
  }
}

/** The database does not answer. The gateway serves on from its last snapshot. */
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", { detail }, { httpApiStatus: 503 }) {
  override get message(): string {
    return this.detail
  }
}

export const ControlError = Schema.Union([NotFound, Conflict, InUse, VersionMismatch, Invalid, Forbidden, Unavailable])
export type ControlError = typeof ControlError.Type
