/**
 * The API of administrators, for the page: the session's cookie is the credential.
 */
import type { Admin, Status } from "../src/control/AdminApi.ts"
import type { AuditEntry, Key, Limit, MadeKey, Model, Team } from "../src/control/Entity.ts"

export type { Admin, AuditEntry, Key, Limit, MadeKey, Model, Status, Team }

/** A part of a list. */
export interface Page<Item> {
  readonly items: ReadonlyArray<Item>
  readonly next: string | null
}

/** What the API refused, and why. */
export class Refused extends Error {
  readonly status: number
  /** Whether the same with `force` does it nevertheless. */
  readonly canForce: boolean

  constructor(status: number, body: { readonly _tag?: string; readonly detail?: string } | undefined) {
    super(body?.detail ?? (status === 0 ? "The gateway does not answer." : `The gateway answered status ${status}.`))
    this.status = status
    this.canForce = body?._tag === "InUse"
  }
}

/** Sends a request. Throws `Refused`. */
export const send = async <Result>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Result> => {
  const response = await fetch(`/admin/v1${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  }).catch(() => undefined)
  const json: unknown = response === undefined || response.status === 204 ? undefined : await response.json().catch(() => undefined)
  if (response?.ok !== true) throw new Refused(response?.status ?? 0, json as { readonly detail?: string } | undefined)
  return json as Result
}

/** The path of a list, with its parameters. */
export const pathOf = (path: string, parameters: Record<string, string | undefined>): string => {
  const given = Object.entries(parameters).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== "")
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given).toString()}`
}
