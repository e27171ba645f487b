// The parts of a client, for requests that not every program makes.
import * as Effect from "effect/Effect"
import type { Service } from "../ParadigmClient.ts"
import type { Transport } from "../Transport.ts"
import type { ParadigmError } from "../ParadigmError.ts"
import { invalid, type Settings } from "./options.ts"

interface Parts {
  readonly transport: Transport
  readonly settings: Settings
}

export const parts = /* @__PURE__ */ new WeakMap<Service, Parts>()

/** The parts of a client. Fails for a client of another implementation. */
export const partsOf = (client: Service): Effect.Effect<Parts, ParadigmError> => {
  const own = parts.get(client)
  return own === undefined ? Effect.fail(invalid("client", "is not one that this library created")) : Effect.succeed(own)
}
